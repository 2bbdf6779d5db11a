//! One row of the table. A CRD makes the same row at run time.
use crate::{
    object_meta::Naming,
    rules::{Plain, Rules, Strategy, Typed},
};
use jiff::Timestamp;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope, SubResourceScope};
use knarr_machinery::GroupResource;
use serde_json::Value;
use std::{borrow::Cow, sync::Arc};

type Str = Cow<'static, str>;

#[derive(Clone)]
pub struct Kind {
    pub group: Str,
    /// The version that is served; the stored one too, unless `stored` says otherwise.
    pub version: Str,
    pub kind: Str,
    pub plural: Str,
    pub singular: Str,
    pub namespaced: bool,
    pub short: Vec<Str>,
    /// `all` for what `kubectl get all` shows.
    pub categories: Vec<Str>,
    pub subresources: Vec<Sub>,
    pub columns: Vec<Column>,
    /// `metadata.generation` moves with the spec.
    pub has_generation: bool,
    /// A PUT makes what is missing.
    pub create_on_update: bool,
    /// Answered but never stored: reviews.
    pub ephemeral: bool,
    /// A create keeps the status that came with it: a kubelet registers its Node whole.
    pub keeps_status: bool,
    /// How its objects may be named.
    pub naming: Naming,
    /// This row is one more way to serve what another row stores. None: objects are stored as they are served.
    pub stored: Option<Stored>,
    pub rules: Arc<dyn Rules>,
}

/// Where a row's objects are kept when another group or version of them is the stored one. Rules and columns of such a row read the
/// stored form; only what goes over the wire is converted.
#[derive(Clone)]
pub struct Stored {
    pub resource: GroupResource,
    /// Rewrites an object as served into the stored form, apiVersion included.
    pub to_stored: fn(Value) -> Value,
    /// The way back.
    pub to_served: fn(Value) -> Value,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sub {
    Status,
    Scale,
    Log,
    Exec,
    Attach,
    PortForward,
    Binding,
    Eviction,
    EphemeralContainers,
    Resize,
    Proxy,
    Token,
    Finalize,
}

impl Sub {
    /// As it stands in URLs.
    pub fn path(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Log => "log",
            Self::Exec => "exec",
            Self::Attach => "attach",
            Self::PortForward => "portforward",
            Self::Binding => "binding",
            Self::Eviction => "eviction",
            Self::EphemeralContainers => "ephemeralcontainers",
            Self::Resize => "resize",
            Self::Proxy => "proxy",
            Self::Token => "token",
            Self::Finalize => "finalize",
        }
    }
}

/// A column of `kubectl get`. A CRD's cell captures its JSONPath; `now` is there for ages.
#[derive(Clone)]
pub struct Column {
    pub name: Str,
    /// `string`, `integer`, `date`.
    pub kind: &'static str,
    /// `name` for the first column, else empty.
    pub format: &'static str,
    pub description: Str,
    /// Shown by `-o wide` only.
    pub wide: bool,
    pub cell: Cell,
}
pub type Cell = Arc<dyn Fn(&Value, Timestamp) -> Value + Send + Sync>;

pub trait ScopeName {
    const NAMESPACED: bool;
}
impl ScopeName for NamespaceResourceScope {
    const NAMESPACED: bool = true;
}
impl ScopeName for ClusterResourceScope {
    const NAMESPACED: bool = false;
}
impl ScopeName for SubResourceScope {
    const NAMESPACED: bool = true;
}

impl Kind {
    /// A row says only what the type does not: group, version, plural and scope come from it.
    pub fn of<K: Typed>() -> Self
    where
        K::Scope: ScopeName,
    {
        Self {
            group: K::GROUP.into(),
            version: K::VERSION.into(),
            kind: K::KIND.into(),
            plural: K::URL_PATH_SEGMENT.into(),
            singular: K::KIND.to_lowercase().into(),
            namespaced: <K::Scope as ScopeName>::NAMESPACED,
            short: vec![],
            categories: vec![],
            subresources: vec![],
            columns: vec![],
            has_generation: false,
            create_on_update: false,
            ephemeral: false,
            keeps_status: false,
            naming: Naming::default(),
            stored: None,
            rules: Arc::new(Plain::<K>::new()),
        }
    }

    pub fn short(mut self, name: &'static str) -> Self {
        self.short.push(name.into());
        self
    }
    pub fn category(mut self, name: &'static str) -> Self {
        self.categories.push(name.into());
        self
    }
    #[expect(clippy::should_implement_trait, reason = "a row of the table is read, not subtracted")]
    pub fn sub(mut self, subresources: &[Sub]) -> Self {
        self.subresources.extend(subresources);
        self
    }
    pub fn generation(mut self) -> Self {
        self.has_generation = true;
        self
    }
    pub fn create_on_update(mut self) -> Self {
        self.create_on_update = true;
        self
    }
    pub fn ephemeral(mut self) -> Self {
        self.ephemeral = true;
        self
    }
    pub fn keeps_status(mut self) -> Self {
        self.keeps_status = true;
        self
    }
    pub fn naming(mut self, naming: Naming) -> Self {
        self.naming = naming;
        self
    }
    /// Serves what the row of `S` stores. A strategy set after this one reads the stored form.
    pub fn stored_as<S: Typed>(mut self, to_stored: fn(Value) -> Value, to_served: fn(Value) -> Value) -> Self {
        self.stored = Some(Stored { resource: GroupResource::new(S::GROUP, S::URL_PATH_SEGMENT), to_stored, to_served });
        self.rules = Arc::new(Plain::<S>::new());
        self
    }
    pub fn column(self, name: &'static str, kind: &'static str, cell: impl Fn(&Value, Timestamp) -> Value + Send + Sync + 'static) -> Self {
        self.push_column(name, kind, false, cell)
    }
    pub fn wide(self, name: &'static str, kind: &'static str, cell: impl Fn(&Value, Timestamp) -> Value + Send + Sync + 'static) -> Self {
        self.push_column(name, kind, true, cell)
    }
    fn push_column(
        mut self,
        name: &'static str,
        kind: &'static str,
        wide: bool,
        cell: impl Fn(&Value, Timestamp) -> Value + Send + Sync + 'static,
    ) -> Self {
        let format = if name == "Name" { "name" } else { "" };
        self.columns.push(Column { name: name.into(), kind, format, description: "".into(), wide, cell: Arc::new(cell) });
        self
    }
    pub fn strategy(mut self, strategy: impl Strategy) -> Self {
        self.rules = Arc::new(strategy);
        self
    }

    /// The collection as clients name it.
    pub fn resource(&self) -> GroupResource {
        GroupResource::new(&self.group, &self.plural)
    }
    /// The collection in which store and shelf keep the objects.
    pub fn storage(&self) -> GroupResource {
        self.stored.as_ref().map_or_else(|| self.resource(), |stored| stored.resource.clone())
    }
    /// A request's object in the stored form.
    pub fn to_stored(&self, served: Value) -> Value {
        match &self.stored {
            Some(way) => (way.to_stored)(served),
            None => served,
        }
    }
    /// A stored object as this row serves it.
    pub fn to_served(&self, stored: Value) -> Value {
        match &self.stored {
            Some(way) => (way.to_served)(stored),
            None => stored,
        }
    }
    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }
    pub fn has(&self, sub: Sub) -> bool {
        self.subresources.contains(&sub)
    }
}
