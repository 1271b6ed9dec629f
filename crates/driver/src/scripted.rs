//! A driver for tests: it does what its script says, and it may lie.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use files::{SECRET_BYTES, Secret};
use fleet::{Address, Found, Life, Release, StopHow};
use futures_util::future::{BoxFuture, FutureExt, ready};

use crate::keyed::Keyed;
use crate::{Driver, DriverError, ProcessRecipe, Recipe, Releases, Spec, StartOrder};

/// What a [`ScriptedDriver`] says, and what it was told.
#[derive(Debug)]
pub struct Script {
    /// Where a started replica is said to listen.
    pub address: Address,
    /// The next starts fail with these texts; then starts succeed.
    pub failures: VecDeque<String>,
    /// What a list shows.
    pub found: Vec<Found>,
    /// Which are said to be frozen.
    pub frozen: Vec<Life>,
    /// What is said to be run by those that are found.
    pub releases: BTreeMap<Life, Release>,
    /// What the driver says that it was made with.
    pub release: Release,
    /// What it knows each release to be.
    pub recipes: BTreeMap<Release, Recipe>,
    /// Every order so far, in words.
    pub orders: Vec<String>,
}

/// A driver without any replica behind it.
#[derive(Debug)]
pub struct ScriptedDriver {
    script: Mutex<Script>,
}

impl ScriptedDriver {
    /// A driver whose replicas are all said to listen at `address`.
    pub fn new(address: Address) -> Self {
        let script = Script {
            address,
            failures: VecDeque::new(),
            found: Vec::new(),
            frozen: Vec::new(),
            releases: BTreeMap::new(),
            release: Release::default(),
            recipes: BTreeMap::new(),
            orders: Vec::new(),
        };
        Self { script: Mutex::new(script) }
    }

    /// Whatever has the same recipe is the same release.
    fn know(&self, recipe: Recipe) -> Release {
        let text = serde_json::to_string(&recipe).unwrap_or_default();
        let release =
            Release::of_hash(Keyed::over(&Secret::of([0; SECRET_BYTES]), "script", &[text]).number());
        self.script().recipes.insert(release, recipe);
        release
    }

    /// The script, to be read and changed.
    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver for ScriptedDriver {
    fn prepare(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        ready(Ok(())).boxed()
    }

    fn start(&self, order: StartOrder) -> BoxFuture<'_, Result<Address, DriverError>> {
        let mut script = self.script();
        let release = if order.release.is_told() { format!(" {}", order.release) } else { String::new() };
        script.orders.push(format!("start {} {}{release}", order.life, order.name));
        let result = match script.failures.pop_front() {
            Some(text) => Err(DriverError::new(text)),
            None => Ok(script.address.clone()),
        };
        ready(result).boxed()
    }

    fn stop(&self, life: Life, how: StopHow) -> BoxFuture<'_, Result<(), DriverError>> {
        let word = if how == StopHow::Now { "kill" } else { "stop" };
        self.script().orders.push(format!("{word} {life}"));
        ready(Ok(())).boxed()
    }

    fn is_frozen(&self, life: Life) -> BoxFuture<'_, Result<bool, DriverError>> {
        ready(Ok(self.script().frozen.contains(&life))).boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Found>, DriverError>> {
        ready(Ok(self.script().found.clone())).boxed()
    }

    fn tidy_up(&self) -> BoxFuture<'_, Result<(), DriverError>> {
        ready(Ok(())).boxed()
    }
}

impl Releases for ScriptedDriver {
    fn release(&self) -> Release {
        self.script().release
    }

    fn release_of(&self, life: Life) -> Option<Release> {
        self.script().releases.get(&life).copied()
    }

    fn resume(&self, stored: &Recipe) -> bool {
        self.script().release = self.know(stored.clone());
        true
    }

    /// Learns whatever it is told, and has no way to try it.
    fn learn(&self, spec: Spec) -> BoxFuture<'_, Result<Release, DriverError>> {
        let learnt = match spec {
            Spec::Process(settings) => Ok(self.know(Recipe::Process(Box::new(ProcessRecipe::of(&settings))))),
            Spec::Docker(_) => Err(DriverError::new("this script is about processes")),
        };
        ready(learnt).boxed()
    }

    fn recall(&self, stored: &Recipe) {
        self.know(stored.clone());
    }

    fn recipe(&self, release: Release) -> Option<Recipe> {
        self.script().recipes.get(&release).cloned()
    }
}
