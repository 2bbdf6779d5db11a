//! What guests say when they are probed, by the image they run or by the very pod.
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

/// What somebody gets who connects to a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// An HTTP answer with this status code.
    Status(u16),
    /// Nobody listens.
    Refuses,
    /// Nobody answers until the caller gives up.
    Hangs,
}

/// Guests of whom nothing was said answer 200.
#[derive(Default)]
pub struct Answers(Mutex<Said>);

#[derive(Default)]
struct Said {
    by_image: BTreeMap<String, Answer>,
    /// `namespace/name`.
    by_pod: BTreeMap<String, Answer>,
}

impl Answers {
    pub fn of_image(&self, image: &str, answer: Answer) {
        self.lock().by_image.insert(image.to_owned(), answer);
    }

    pub fn of_pod(&self, pod: &str, answer: Answer) {
        self.lock().by_pod.insert(pod.to_owned(), answer);
    }

    /// The pod's own answer goes before that of its image.
    pub fn get(&self, pod: &str, image: &str) -> Answer {
        let said = self.lock();
        said.by_pod.get(pod).or_else(|| said.by_image.get(image)).copied().unwrap_or(Answer::Status(200))
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.0.lock().expect("no panic while held")
    }
}
