//! Finalize: whoever empties a namespace takes its own finalizer out of the spec; the last one to go takes the namespace with it.
use super::{ATTEMPTS, Ask, Door, attempt::Failed, draft::encode};
use crate::object;
use knarr_cluster::Done;
use knarr_machinery::Status;
use serde_json::{Value, json};

impl Door {
    pub(super) async fn finalize(&self, ask: &Ask<'_>) -> Result<Done, Status> {
        let wanted = self.read(ask)?;
        let finalizers = match &wanted.object["spec"]["finalizers"] {
            Value::Null => json!([]),
            said => said.clone(),
        };
        for _ in 0..ATTEMPTS {
            let current = self.current(ask)?;
            let mut namespace: Value = serde_json::from_slice(&current.bytes).map_err(Status::internal)?;
            object::check_version(&wanted.object, &namespace, &ask.resource, &ask.key.name)?;
            match finalizers.as_array() {
                Some(none) if none.is_empty() => drop(namespace["spec"].as_object_mut().map(|spec| spec.remove("finalizers"))),
                _ => namespace["spec"]["finalizers"] = finalizers.clone(),
            }
            match self.replace(ask, &current, encode(ask, namespace)?, wanted.warnings.clone()).await {
                Ok(done) => return Ok(done),
                Err(Failed::Refused(status)) => return Err(status),
                Err(Failed::Lost) => {}
            }
        }
        Err(Status::stale(&ask.resource, &ask.key.name))
    }
}
