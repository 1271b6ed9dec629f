//! What somebody may have meant by a word that is not known.

/// The help for an unknown word: the one that it resembles, or else all that there are.
pub(crate) fn help(word: &str, known: &[&str], quote: char) -> String {
    match nearest(word, known) {
        Some(near) => format!("did you mean {quote}{near}{quote}?"),
        None => format!("there are {}", list(known, quote)),
    }
}

/// The known word that resembles this one, if one does.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_lowercase();
    // A third of the word may be wrong; more, and the suggestion would be a guess.
    let distance_max = (word.chars().count() / 3).clamp(1, 3);
    let distances = known.iter().map(|known| (strsim::osa_distance(&word, &known.to_lowercase()), *known));
    distances.filter(|(distance, _)| *distance <= distance_max).min().map(|(_, near)| near)
}

/// `a`, `b`, `c`.
pub(crate) fn list(words: &[&str], quote: char) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{quote}{word}{quote}")).collect();
    quoted.join(", ")
}
