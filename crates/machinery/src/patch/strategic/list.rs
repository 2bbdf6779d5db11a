//! Lists that merge: by key, or as a set of plain values; and the order that comes out.
use super::{PATCH, broken, shown, unknown_directive};
use crate::{
    Status,
    schema::{Field, Shape},
};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Merges a list into another. `order` is the patch's word on the order; without one the patch's own order counts.
pub(super) fn merge(current: Vec<Value>, patch: Vec<Value>, order: Option<Value>, field: Option<Field>) -> Result<Vec<Value>, Status> {
    let key = field.and_then(Field::merge_key);
    let all = || current.iter().chain(&patch);
    let objects = all().filter(|value| value.is_object()).count();
    if all().any(Value::is_null) || (objects > 0 && objects < all().count()) {
        let lists = Value::Array(vec![Value::Array(current), Value::Array(patch)]);
        return Err(broken(format!("list element types are not identical: {}", shown(&lists))));
    }
    if patch.iter().any(|value| directive(value) == Some(&"replace".into())) {
        return Ok(patch.into_iter().filter(|value| directive(value).is_none()).collect());
    }
    let by = By(key.filter(|_| objects > 0));
    let (current, patch) = by.delete(current, patch)?;
    let order = match order {
        Some(Value::Array(order)) => by.identities(&order)?,
        _ => by.identities(&patch)?,
    };
    by.check_order(&patch, &order)?;
    let server = by.identities(&current)?;
    let merged = by.merge(current, patch, field)?;
    by.arrange(merged, &order, &server)
}

fn directive(value: &Value) -> Option<&Value> {
    value.as_object()?.get(PATCH)
}

/// What makes two elements the same: the value of a key, or for plain values the value itself.
#[derive(Clone, Copy)]
struct By<'k>(Option<&'k str>);

impl By<'_> {
    /// As JSON text, so that large lists can be looked up instead of walked for each element.
    fn identity(self, value: &Value) -> Result<String, Status> {
        match self.0 {
            None => Ok(value.to_string()),
            Some(key) => match value.get(key) {
                Some(identity) => Ok(identity.to_string()),
                None => Err(broken(format!("map: {} does not contain declared merge key: {key}", shown(value)))),
            },
        }
    }

    fn identities(self, list: &[Value]) -> Result<Vec<String>, Status> {
        list.iter().map(|value| self.identity(value)).collect()
    }

    /// Carries out `$patch: delete`, and refuses other directives.
    fn delete(self, mut current: Vec<Value>, patch: Vec<Value>) -> Result<(Vec<Value>, Vec<Value>), Status> {
        let (mut kept, mut gone) = (vec![], HashSet::new());
        for change in patch {
            match directive(&change).map(Value::as_str) {
                None => kept.push(change),
                Some(Some("delete")) => {
                    gone.insert(self.identity(&change)?);
                }
                Some(Some("merge")) => return Err(broken("merging lists cannot yet be specified in the patch".into())),
                Some(_) => return Err(change.as_object().map_or_else(|| broken("unknown patch type".into()), unknown_directive)),
            }
        }
        if !gone.is_empty() {
            current.retain(|value| self.identity(value).is_ok_and(|identity| !gone.contains(&identity)));
        }
        Ok((current, kept))
    }

    /// The patch's elements have to stand in the given order; one that is said twice counts once.
    fn check_order(self, patch: &[Value], order: &[String]) -> Result<(), Status> {
        let (mut places, mut seen) = (order.iter(), HashSet::new());
        for change in patch {
            let identity = self.identity(change)?;
            if seen.insert(identity.clone()) && !places.any(|place| *place == identity) {
                let patch = shown(&Value::Array(patch.to_vec()));
                let order = order.iter().map(|identity| shown(&Value::String(identity.clone()))).collect::<Vec<_>>().join(" ");
                return Err(broken(format!("The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n[{order}]")));
            }
        }
        Ok(())
    }

    fn merge(self, mut merged: Vec<Value>, patch: Vec<Value>, field: Option<Field>) -> Result<Vec<Value>, Status> {
        let element = field.and_then(|field| if let Shape::List(item) = field.shape() { Some(item.shape()) } else { None });
        let mut places = first_places(&self.identities(&merged)?);
        for change in patch {
            let identity = self.identity(&change)?;
            let same = places.get(&identity).and_then(|at| merged.get_mut(*at));
            match (same, change) {
                (Some(Value::Object(old)), Value::Object(change)) => *old = super::merge(std::mem::take(old), change, element)?,
                (Some(_), _) => {}
                (None, change) => {
                    places.insert(identity, merged.len());
                    merged.push(change);
                }
            }
        }
        Ok(merged)
    }

    /// Elements that `order` names come in that order; the others keep their places among those that were there before.
    fn arrange(self, merged: Vec<Value>, order: &[String], server: &[String]) -> Result<Vec<Value>, Status> {
        let (order, server) = (first_places(order), first_places(server));
        let (mut named, mut others) = (vec![], vec![]);
        for value in merged {
            let identity = self.identity(&value)?;
            let before = server.get(&identity).copied();
            match order.get(&identity) {
                Some(at) => named.push((*at, before, value)),
                None => others.push((before, value)),
            }
        }
        named.sort_by_key(|(at, _, _)| *at);
        let mut arranged = Vec::with_capacity(named.len() + others.len());
        let mut others = others.into_iter().peekable();
        for (_, before, value) in named {
            while let Some((_, other)) = others.next_if(|(theirs, _)| before.is_some_and(|ours| theirs.is_some_and(|theirs| theirs < ours)))
            {
                arranged.push(other);
            }
            arranged.push(value);
        }
        arranged.extend(others.map(|(_, value)| value));
        Ok(arranged)
    }
}

/// Where each identity stands first.
fn first_places(identities: &[String]) -> HashMap<String, usize> {
    let mut places = HashMap::with_capacity(identities.len());
    for (at, identity) in identities.iter().enumerate() {
        places.entry(identity.clone()).or_insert(at);
    }
    places
}
