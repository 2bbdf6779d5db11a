//! Create: a new object, under its own name or one made from `generateName`.
use super::{
    Ask, Door,
    attempt::{Failed, Wanted},
};
use crate::{admission, decode, object};
use knarr_cluster::{Done, FieldValidation};
use knarr_machinery::{GroupResource, Key, Status};
use serde_json::{Value, json};

/// Random ends tried until one is free: of 14 million, so a second try is rare and a ninth a sign of something else.
const NAMES: usize = 8;
/// What of `generateName` counts: five characters are added, and 63 fit into a label.
const PREFIX_MAX: usize = 58;
/// No vowels, so that no word comes out; no digits that look like letters.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl Door {
    pub(super) async fn create(&self, mut ask: Ask<'_>) -> Result<Done, Status> {
        let wanted = self.read(&ask)?;
        let metadata = &wanted.object["metadata"];
        let (name, prefix) = (metadata["name"].as_str().unwrap_or_default(), metadata["generateName"].as_str().unwrap_or_default());
        ask.key.name = name.into();
        self.admit_namespace(&ask)?;
        if !name.is_empty() || prefix.is_empty() {
            return self.create_named(&ask, wanted).await;
        }
        let prefix: String = prefix.chars().take(PREFIX_MAX).collect();
        for _ in 0..NAMES {
            let name = format!("{prefix}{}", random_end());
            let mut object = wanted.object.clone();
            object["metadata"]["name"] = json!(name);
            ask.key.name = name.into();
            match self.attempt_create(&ask, Wanted { object, warnings: wanted.warnings.clone() }).await {
                Err(Failed::Lost) => {}
                Err(Failed::Refused(status)) => return Err(status),
                Ok(done) => return Ok(done),
            }
        }
        Err(self.exists(&ask))
    }

    pub(super) async fn create_named(&self, ask: &Ask<'_>, wanted: Wanted) -> Result<Done, Status> {
        self.attempt_create(ask, wanted).await.map_err(|failed| match failed {
            Failed::Lost => self.exists(ask),
            Failed::Refused(status) => status,
        })
    }

    /// The body, in the stored form and in the place that the URL says.
    pub(super) fn read(&self, ask: &Ask<'_>) -> Result<Wanted, Status> {
        let (object, warnings) = decode::object(self.0.schema, &ask.kind, &ask.body, ask.options.field_validation)?;
        place(ask, object).map(|object| Wanted { object, warnings })
    }

    fn admit_namespace(&self, ask: &Ask<'_>) -> Result<(), Status> {
        if !ask.kind.namespaced {
            return Ok(());
        }
        let namespace = self.0.shelf.get(&GroupResource::new("", "namespaces"), &Key::cluster(&ask.key.namespace));
        admission::may_create(namespace.as_deref(), &ask.resource, &ask.key)
    }

    fn exists(&self, ask: &Ask<'_>) -> Status {
        let mut status = Status::already_exists(&ask.resource, &ask.key.name);
        if self.0.shelf.get(&ask.storage, &ask.key).is_some_and(|entry| entry.meta.is_deleting()) {
            status.message = format!("object is being deleted: {}", status.message);
        }
        status
    }
}

/// Reads the result of a patch as a body would be read.
pub(super) fn read_patched(door: &Door, ask: &Ask<'_>, patched: &Value, validation: FieldValidation) -> Result<Wanted, Status> {
    let text = serde_json::to_vec(patched).map_err(Status::internal)?;
    let (object, warnings) = decode::object(door.0.schema, &ask.kind, &text, validation)?;
    place(ask, object).map(|object| Wanted { object, warnings })
}

fn place(ask: &Ask<'_>, mut object: Value) -> Result<Value, Status> {
    object::check_type(&mut object, &ask.kind)?;
    object::place(&mut object, object::Namespaced::of(&ask.kind), &ask.key.namespace, &ask.key.name)?;
    Ok(ask.kind.to_stored(object))
}

fn random_end() -> String {
    (0..5).map(|_| char::from(LETTERS[rand::random_range(0..LETTERS.len())])).collect()
}
