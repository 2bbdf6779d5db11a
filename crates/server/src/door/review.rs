//! Reviews: questions that are answered and never stored.
use super::{Ask, Door, method_not_allowed};
use crate::{decode, object};
use knarr_access::{Asked, authorize};
use knarr_cluster::{Done, Identity};
use knarr_machinery::{GroupResource, Revision, Status};
use serde_json::{Value, json};

impl Door {
    pub(super) fn review(&self, ask: &Ask<'_>) -> Result<Done, Status> {
        let (mut review, warnings) = decode::object(self.0.schema, &ask.kind, &ask.body, ask.options.field_validation)?;
        object::check_type(&mut review, &ask.kind)?;
        let status = match &*ask.kind.kind {
            "SelfSubjectReview" => json!({"userInfo": user_info(ask.who)}),
            "SelfSubjectAccessReview" => json!({"allowed": may(ask.who, &review["spec"])}),
            _ => return Err(method_not_allowed()),
        };
        review["metadata"] = json!({"creationTimestamp": object::time(ask.now)});
        review["status"] = status;
        let object = serde_json::to_vec(&review).map_err(Status::internal)?.into();
        Ok(Done { revision: Revision(0), object, created: true, pending: false, warnings })
    }
}

fn user_info(who: &Identity) -> Value {
    let mut info = json!({"username": who.user, "groups": who.groups});
    if !who.uid.is_empty() {
        info["uid"] = json!(who.uid);
    }
    if !who.extra.is_empty() {
        info["extra"] = json!(who.extra);
    }
    info
}

fn may(who: &Identity, spec: &Value) -> bool {
    let text = |at: &Value, field: &str| at[field].as_str().unwrap_or_default().to_owned();
    if let path @ Value::Object(_) = &spec["nonResourceAttributes"] {
        return authorize(who, &Asked::Path { verb: &text(path, "verb"), path: &text(path, "path") }).is_ok();
    }
    let about = &spec["resourceAttributes"];
    let subresource = text(about, "subresource");
    let asked = Asked::Resource {
        verb: &text(about, "verb"),
        resource: &GroupResource::new(&text(about, "group"), &text(about, "resource")),
        subresource: Some(subresource.as_str()).filter(|sub| !sub.is_empty()),
        namespace: &text(about, "namespace"),
        name: &text(about, "name"),
    };
    authorize(who, &asked).is_ok()
}
