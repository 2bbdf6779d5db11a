//! Delete and evict: the decision is `deletion`'s, here it is carried out.
use super::{
    ATTEMPTS, Ask, Door,
    attempt::{Failed, done},
    draft::encode,
};
use crate::{
    admission,
    deletion::{self, Deletion},
    splice,
};
use knarr_cluster::{Done, Entry};
use knarr_machinery::{Details, GroupResource, Revision, Status};
use knarr_store::Expect;
use serde_json::{Value, json};

/// Kinds whose delete answers with the object, not with a Status, as a real server answered.
const ANSWERED_WITH_OBJECT: &[(&str, &str)] = &[
    ("", "pods"),
    ("", "services"),
    ("", "serviceaccounts"),
    ("", "resourcequotas"),
    ("", "podtemplates"),
    ("", "persistentvolumes"),
    ("", "persistentvolumeclaims"),
];

impl Door {
    pub(super) async fn delete(&self, ask: &Ask<'_>) -> Result<Done, Status> {
        admission::may_delete(&ask.resource, &ask.key)?;
        for _ in 0..ATTEMPTS {
            let current = self.current(ask)?;
            check_preconditions(ask, &current)?;
            let object: Value = serde_json::from_slice(&current.bytes).map_err(Status::internal)?;
            let tried = match deletion::decide(&ask.kind, object, &ask.options, ask.now) {
                Deletion::Pending => return Ok(Done { pending: true, ..done(ask, current.bytes.clone(), current.revision, vec![])? }),
                Deletion::Mark(object) => {
                    let marked = self.replace(ask, &current, encode(ask, object)?, vec![]).await;
                    marked.map(|done| Done { pending: true, ..done })
                }
                Deletion::Remove(object) => self.remove(ask, &current, object).await,
            };
            match tried {
                Ok(done) => return Ok(done),
                Err(Failed::Refused(status)) => return Err(status),
                Err(Failed::Lost) => {}
            }
        }
        Err(Status::stale(&ask.resource, &ask.key.name))
    }

    async fn remove(&self, ask: &Ask<'_>, current: &Entry, left: Value) -> Result<Done, Failed> {
        let revision = if ask.options.dry_run { current.revision } else { self.store(ask, Expect::At(current.revision), None).await? };
        if !ANSWERED_WITH_OBJECT.contains(&(&*ask.resource.group, &*ask.resource.resource)) {
            return Ok(Done { revision, object: gone(&ask.resource, current).into(), created: false, pending: false, warnings: vec![] });
        }
        let bytes = splice::with_revision(&encode(ask, left)?, revision);
        Ok(done(ask, bytes, revision, vec![])?)
    }

    /// An eviction is a delete that budgets may refuse; there are none yet.
    pub(super) async fn evict(&self, mut ask: Ask<'_>) -> Result<Done, Status> {
        let body = crate::decode::free(&ask.body, "eviction")?;
        let dry_run = ask.options.dry_run;
        ask.options = crate::query::Query::default().delete_options(Some(&body["deleteOptions"]))?;
        ask.options.dry_run |= dry_run;
        ask.sub = None;
        let Done { revision, .. } = self.delete(&ask).await?;
        Ok(Done { revision, object: success(201).into(), created: true, pending: false, warnings: vec![] })
    }
}

/// A Status that says yes.
pub(super) fn success(code: u16) -> Vec<u8> {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code}).to_string().into()
}

fn gone(resource: &GroupResource, was: &Entry) -> Vec<u8> {
    let (name, uid) = (was.key.name.to_string(), was.meta.uid.to_string());
    let details = Details { name, uid, group: resource.group.to_string(), kind: resource.resource.to_string(), ..Details::default() };
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}).to_string().into()
}

fn check_preconditions(ask: &Ask<'_>, current: &Entry) -> Result<(), Status> {
    // Failed preconditions name the Kind, where other conflicts name the plural: a real server answered so.
    let kind = GroupResource::new(&ask.kind.group, &ask.kind.kind);
    let refuse = |what: &str, said: &str, is: &str| {
        let why = format!(
            "the {what} in the precondition ({said}) does not match the {what} in record ({is}). The object might have been deleted and then recreated"
        );
        Err(Status::conflict(&kind, &ask.key.name, &why))
    };
    let wanted = &ask.options.preconditions;
    match (&wanted.uid, wanted.resource_version) {
        (Some(uid), _) if **uid != *current.meta.uid => refuse("UID", uid, &current.meta.uid),
        (_, Some(Revision(said))) if said != current.revision.0 => {
            refuse("ResourceVersion", &said.to_string(), &current.revision.to_string())
        }
        _ => Ok(()),
    }
}
