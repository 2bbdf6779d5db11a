//! Acting: the one place where a plan becomes writes.
use crate::{Action, Deletion, Failure, Object, Said};
use bytes::Bytes;
use knarr_cluster::{Cluster, Identity, Options, PatchType, Preconditions, Recorder, Target, Type, Verb, Write};
use knarr_machinery::{GroupResource, Key, Reason, Status};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Writes of a burst in flight at once: enough for the store to put many in one commit, few enough that other loops get their turn.
const MOST_AT_ONCE: usize = 128;
/// The first handful of a burst; doubles as long as all succeed, so that a quota refuses a handful and not five hundred.
const FIRST_AT_ONCE: usize = 16;

/// Writes under one identity.
#[derive(Clone)]
pub(crate) struct Actor {
    pub(crate) cluster: Cluster,
    pub(crate) who: Arc<Identity>,
    pub(crate) recorder: Recorder,
}

impl Actor {
    /// Takes the actions in order and stops at the first refusal, which it returns; of a burst there may be several.
    pub(crate) async fn act(&self, actions: Vec<Action>) -> Vec<Failure> {
        let mut at_once = FIRST_AT_ONCE;
        let mut left = actions.into_iter().peekable();
        while let Some(first) = left.next() {
            let mut batch = vec![first];
            while batch[0].is_bulk()
                && batch.len() < at_once
                && let Some(next) = left.next_if(Action::is_bulk)
            {
                batch.push(next);
            }
            let failures = self.together(batch).await;
            if !failures.is_empty() {
                return failures;
            }
            at_once = (at_once * 2).min(MOST_AT_ONCE);
        }
        vec![]
    }

    async fn together(&self, mut batch: Vec<Action>) -> Vec<Failure> {
        if batch.len() == 1 {
            return self.one(batch.remove(0)).await.err().into_iter().collect();
        }
        let mut writes = JoinSet::new();
        for action in batch {
            let actor = self.clone();
            writes.spawn(async move { actor.one(action).await });
        }
        let mut failures = vec![];
        while let Some(written) = writes.join_next().await {
            match written {
                Ok(written) => failures.extend(written.err()),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        failures
    }

    async fn one(&self, action: Action) -> Result<(), Failure> {
        let (write, say) = match &action {
            Action::Event { about, kind, reason, message } => {
                self.recorder.event(about, *kind, reason, message);
                return Ok(());
            }
            Action::Create { resource, object, say } => (create(resource, object), say.as_ref()),
            Action::Delete { of, how, say } => (delete(of, *how), say.as_ref()),
            Action::Patch { of, patch: body, revision } => {
                let mut body = body.clone();
                if let Some(revision) = revision {
                    body["metadata"]["resourceVersion"] = json!(revision.to_string());
                }
                (patch(of, body, PatchType::Merge, None), None)
            }
            Action::Status { of, patch: body } => (patch(of, body.clone(), PatchType::Merge, Some("status")), None),
            Action::Condition { of, patch: body } => (patch(of, body.clone(), PatchType::Strategic, Some("status")), None),
            Action::Finalize { of, object } => (write(Verb::Update, &of.resource, of.key.clone(), Some("finalize"), object), None),
        };
        let named = write.target.key.name.clone();
        let answer = self.cluster.door.submit(&self.who, write).await;
        let answer = match answer {
            // What shall go is gone, or its name belongs to another object: either way there is nothing left to do.
            Err(status)
                if matches!(action, Action::Delete { .. }) && (status.reason == Reason::NotFound || status.reason == Reason::Conflict) =>
            {
                return Ok(());
            }
            Ok(done) => Ok(if named.is_empty() { name_in(&done.object) } else { named.into() }),
            Err(status) => Err(status),
        };
        if let Some(said) = say {
            self.say(said, &answer);
        }
        answer.map(drop).map_err(|status| Failure { action, status })
    }

    fn say(&self, said: &Said, answer: &Result<String, Status>) {
        let (kind, (reason, text), rest) = match answer {
            Ok(name) => (Type::Normal, said.done, name.as_str()),
            Err(status) => (Type::Warning, said.failed, status.message.as_str()),
        };
        self.recorder.event(&said.about, kind, reason, &format!("{text}{rest}"));
    }
}

fn write(verb: Verb, resource: &GroupResource, key: Key, subresource: Option<&str>, body: &Value) -> Write {
    let body = if body.is_null() { Bytes::new() } else { serde_json::to_vec(body).expect("a Value is JSON").into() };
    Write {
        verb,
        target: Target { resource: resource.clone(), version: None, key, subresource: subresource.map(Into::into) },
        body,
        options: Options::default(),
    }
}

pub(crate) fn create(resource: &GroupResource, object: &Value) -> Write {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    write(Verb::Create, resource, Key::new(namespace, name), None, object)
}

/// A patch that names the uid is refused by the server when another object has the name by now.
fn patch(of: &Object, mut body: Value, how: PatchType, subresource: Option<&str>) -> Write {
    body["metadata"]["uid"] = json!(of.uid);
    write(Verb::Patch(how), &of.resource, of.key.clone(), subresource, &body)
}

fn delete(of: &Object, how: Deletion) -> Write {
    let mut write = write(Verb::Delete, &of.resource, of.key.clone(), None, &Value::Null);
    write.options.propagation = how.propagation;
    write.options.grace_period_seconds = how.grace_period_seconds;
    write.options.preconditions = Preconditions { uid: Some(of.uid.to_string()), resource_version: None };
    write
}

/// The name that the server gave.
fn name_in(object: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Named {
        metadata: Meta,
    }
    #[derive(serde::Deserialize)]
    struct Meta {
        name: String,
    }
    serde_json::from_slice::<Named>(object).map(|named| named.metadata.name).unwrap_or_default()
}
