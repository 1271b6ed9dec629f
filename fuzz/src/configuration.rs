//! Configuration files, whatever they hold.

/// A text is settings that keep their promises, or there is something wrong with it that has words.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = config::parse(text, "fuzz.toml");
    match &read {
        Ok(settings) => {
            assert!((1..=64).contains(&settings.services.len()));
            assert!(!settings.all_listeners().is_empty());
            settings.check_addresses().expect("addresses were looked at");
            for service in &settings.services {
                assert!(service.replicas <= service.max_replicas, "{}", service.name);
                assert!(!service.scope.hosts.is_empty() && !service.scope.paths.is_empty());
                assert!(service.scope.paths.iter().all(|pattern| pattern.path().starts_with('/')));
                assert!(config::changes(service, service).is_empty());
                let same = settings.services.iter().filter(|other| other.name == service.name);
                assert_eq!(same.count(), 1, "{}", service.name);
            }
        }
        Err(error) => {
            assert!(error.count() >= 1);
            assert!(error.to_string().contains("error"), "{error}");
        }
    }
    assert_eq!(read.is_ok(), config::parse(text, "fuzz.toml").is_ok());
}
