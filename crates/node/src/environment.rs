//! The environment and the arguments of a container. Pure.
mod services;
#[cfg(test)]
mod tests;

use crate::{
    pod::{Container, EnvFrom, EnvVar, KeyRef, Pod},
    surroundings::{Data, Missing, Surroundings},
};
use std::collections::BTreeMap;

pub type Variables = BTreeMap<String, String>;

/// Everything a container finds in its environment: the host name, the Services, `envFrom`, and then `env`, each over those before it.
pub fn variables(pod: &Pod, container: &Container, around: &Surroundings) -> Result<Variables, Missing> {
    let links = pod.spec.enable_service_links.unwrap_or(true);
    let services = services::variables(around.api.iter(), if links { &around.services } else { &[] });
    let mut variables = Variables::new();
    for source in &container.env_from {
        import(source, around, &mut variables)?;
    }
    for variable in &container.env {
        if let Some(value) = value_of(pod, container, variable, around, &variables, &services)? {
            variables.insert(variable.name.clone(), value);
        }
    }
    let mut all = Variables::from([("HOSTNAME".into(), pod.hostname().into())]);
    all.extend(services);
    all.extend(variables);
    Ok(all)
}

/// `command` and `args` with their variables put in.
pub fn arguments(container: &Container, variables: &Variables) -> Vec<String> {
    let look_up = |name: &str| variables.get(name).cloned();
    container.command.iter().chain(&container.args).map(|argument| expand(argument, look_up)).collect()
}

/// Puts variables in for `$(NAME)`. `$$` is a dollar sign, and what names nothing stays as it is.
pub fn expand(text: &str, look_up: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, dollar) = rest.split_at(at);
        out.push_str(before);
        let name = dollar.strip_prefix("$(").and_then(|inner| inner.split_once(')'));
        rest = match (dollar.strip_prefix("$$"), name) {
            (Some(after), _) => {
                out.push('$');
                after
            }
            (None, Some((name, after))) => {
                out.push_str(&look_up(name).unwrap_or_else(|| format!("$({name})")));
                after
            }
            (None, None) => {
                out.push('$');
                &dollar[1..]
            }
        };
    }
    out + rest
}

fn import(source: &EnvFrom, around: &Surroundings, into: &mut Variables) -> Result<(), Missing> {
    let config_map = match &source.config_map_ref {
        Some(object) => around.config_map(&object.name, object.optional)?,
        None => None,
    };
    let secret = match &source.secret_ref {
        Some(object) => around.secret(&object.name, object.optional)?,
        None => None,
    };
    for (key, value) in config_map.into_iter().chain(secret).flatten() {
        let name = format!("{}{key}", source.prefix);
        // Such a name cannot be told from its value.
        if !name.is_empty() && !name.contains('=') {
            into.insert(name, String::from_utf8_lossy(&value).into_owned());
        }
    }
    Ok(())
}

fn value_of(
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    around: &Surroundings,
    so_far: &Variables,
    services: &Variables,
) -> Result<Option<String>, Missing> {
    let Some(from) = &variable.value_from else {
        let look_up = |name: &str| so_far.get(name).or_else(|| services.get(name)).cloned();
        return Ok(Some(expand(&variable.value, look_up)));
    };
    let namespace = &pod.metadata.namespace;
    if let Some(field) = &from.field_ref {
        return around.field(pod, field).map(Some);
    }
    if let Some(field) = &from.resource_field_ref {
        return around.resource(pod, Some(&container.name), field).map(Some);
    }
    if let Some(key) = &from.config_map_key_ref {
        return pick(key, around.config_map(&key.name, key.optional)?, "ConfigMap", namespace);
    }
    if let Some(key) = &from.secret_key_ref {
        return pick(key, around.secret(&key.name, key.optional)?, "Secret", namespace);
    }
    Ok(Some(String::new()))
}

fn pick(wanted: &KeyRef, data: Option<Data>, kind: &'static str, namespace: &str) -> Result<Option<String>, Missing> {
    match data.as_ref().and_then(|data| data.get(&wanted.key)) {
        Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        None if wanted.optional => Ok(None),
        None => Err(Missing::Key { key: wanted.key.clone(), kind, object: format!("{namespace}/{}", wanted.name) }),
    }
}
