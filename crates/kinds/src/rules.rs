//! What is special about one kind, in its own type, and the same with the type worn away.
use crate::canonical::canonical;
use k8s_openapi::Resource;
use knarr_machinery::{FieldError, Status};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{any::Any, marker::PhantomData};

/// Anything k8s-openapi describes.
pub trait Typed: Resource + Serialize + DeserializeOwned + Send + Sync + 'static {}
impl<T: Resource + Serialize + DeserializeOwned + Send + Sync + 'static> Typed for T {}

/// What is special about one kind. Every method has a default. The server has already dealt with `metadata` and kept `status` and the
/// rest apart before any of these runs.
pub trait Strategy: Clone + Send + Sync + 'static {
    type Object: Typed;
    /// Fields the client may leave out. Runs before admission.
    fn default(&self, _new: &mut Self::Object) {}
    /// Fields the client may not set. Runs after admission. `old` is None on a create.
    fn prepare(&self, _new: &mut Self::Object, _old: Option<&Self::Object>) {}
    fn check(&self, _new: &Self::Object, _old: Option<&Self::Object>) -> Vec<FieldError> {
        vec![]
    }
    /// The same for the status subresource; most kinds accept what they get.
    fn check_status(&self, _new: &Self::Object, _old: &Self::Object) -> Vec<FieldError> {
        vec![]
    }
    /// Texts for `Warning` headers: deprecated or meaningless fields.
    fn warnings(&self, _new: &Self::Object) -> Vec<String> {
        vec![]
    }
}

/// A strategy with its type worn away, so that every kind, built in or CRD, walks one path.
pub trait Rules: Send + Sync {
    /// Reads a request's object, and the stored object that it replaces. A wrong type is a 400, as the real server answers it.
    fn draft(&self, new: Value, old: Option<&[u8]>) -> Result<Box<dyn Draft>, Status>;
}

/// One object on its way in: read once, then defaulted, admitted, prepared, checked, and encoded once.
pub trait Draft: Send {
    fn default(&mut self);
    /// For admission plugins that know the type: `downcast_mut::<Pod>()`.
    fn typed(&mut self) -> &mut dyn Any;
    /// For what reads any kind's JSON.
    fn value(&self) -> Value;
    fn replace(&mut self, value: Value) -> Result<(), Status>;
    fn prepare(&mut self);
    fn check(&self) -> Vec<FieldError>;
    fn check_status(&self) -> Vec<FieldError>;
    fn warnings(&self) -> Vec<String>;
    fn bytes(&self) -> Vec<u8>;
}

struct TypedDraft<S: Strategy> {
    strategy: S,
    new: S::Object,
    old: Option<S::Object>,
}

/// An object out of its JSON, written canonically.
fn read<K: Typed>(mut value: Value) -> Result<K, Status> {
    if let Some(kind) = crate::schema().kind(K::API_VERSION, K::KIND) {
        canonical(&mut value, kind).map_err(|why| malformed::<K>(&why))?;
    }
    serde_json::from_value(value).map_err(|error| {
        let why = error.to_string();
        match base64_offset(&why) {
            Some(at) => malformed::<K>(&format!("illegal base64 data at input byte {at}")),
            None => malformed::<K>(&why),
        }
    })
}

fn malformed<K: Resource>(why: &str) -> Status {
    Status::bad_request(format!("{} in version {:?} cannot be handled as a {}: {why}", K::KIND, K::VERSION, K::KIND))
}

/// Where base64 stopped making sense, in the words of our decoder (`Invalid symbol 32, offset 3.`).
fn base64_offset(why: &str) -> Option<&str> {
    let (what, at) = why.strip_suffix('.')?.split_once(", offset ")?;
    (what.starts_with("Invalid symbol") || what.starts_with("Invalid last symbol")).then_some(at)
}

impl<S: Strategy> Rules for S {
    fn draft(&self, new: Value, old: Option<&[u8]>) -> Result<Box<dyn Draft>, Status> {
        let new = read(new)?;
        let old = old.map(serde_json::from_slice).transpose().map_err(Status::internal)?;
        Ok(Box::new(TypedDraft { strategy: self.clone(), new, old }))
    }
}

impl<S: Strategy> Draft for TypedDraft<S> {
    fn default(&mut self) {
        self.strategy.default(&mut self.new);
    }
    fn typed(&mut self) -> &mut dyn Any {
        &mut self.new
    }
    fn value(&self) -> Value {
        serde_json::to_value(&self.new).expect("a typed object is JSON")
    }
    fn replace(&mut self, value: Value) -> Result<(), Status> {
        self.new = read(value)?;
        Ok(())
    }
    fn prepare(&mut self) {
        self.strategy.prepare(&mut self.new, self.old.as_ref());
    }
    fn check(&self) -> Vec<FieldError> {
        self.strategy.check(&self.new, self.old.as_ref())
    }
    fn check_status(&self) -> Vec<FieldError> {
        self.old.as_ref().map_or_else(Vec::new, |old| self.strategy.check_status(&self.new, old))
    }
    fn warnings(&self) -> Vec<String> {
        self.strategy.warnings(&self.new)
    }
    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.new).expect("a typed object is JSON")
    }
}

/// The strategy of a kind that has nothing special about it.
pub struct Plain<K>(PhantomData<fn() -> K>);
impl<K> Plain<K> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}
impl<K> Clone for Plain<K> {
    fn clone(&self) -> Self {
        Self::new()
    }
}
impl<K: Typed> Strategy for Plain<K> {
    type Object = K;
}
