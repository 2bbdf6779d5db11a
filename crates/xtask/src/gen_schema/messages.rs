//! The protobuf messages, read out of the Rust sources that prost made of them.
use anyhow::Context as _;
use std::{collections::BTreeMap, fs, path::Path};

/// Messages by module and name, both as [`key`] writes them.
pub type Messages = BTreeMap<String, Vec<Member>>;

/// One field of a message.
pub struct Member {
    /// Letters and digits only, lower case: prost and OpenAPI write the same name in two ways.
    pub name: String,
    pub number: u16,
    /// The message that it holds, if it holds one.
    pub message: Option<String>,
}

/// `api.core.v1` and `Pod` together, without regard to case.
pub fn key(module: &str, name: &str) -> String {
    format!("{module}.{}", plain(name))
}

/// A name without what its writers disagree on.
pub fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
}

pub fn read(folder: &Path) -> anyhow::Result<Messages> {
    let mut messages = Messages::new();
    read_folder(folder, &mut vec![], &mut messages)?;
    Ok(messages)
}

fn read_folder(folder: &Path, module: &mut Vec<String>, messages: &mut Messages) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            let name = path.file_name().and_then(|n| n.to_str()).context("a folder's name is text")?;
            module.push(name.to_owned());
            read_folder(&path, module, messages)?;
            module.pop();
        } else if path.ends_with("mod.rs") {
            read_module(&fs::read_to_string(&path)?, module, messages);
        }
    }
    Ok(())
}

/// Prost's output is regular: an attribute with the tag, then the field, whose type ends in a comma.
fn read_module(source: &str, module: &[String], messages: &mut Messages) {
    let mut current: Option<String> = None;
    let mut lines = source.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("pub struct ").and_then(|l| l.strip_suffix(" {")) {
            let name = key(&module.join("."), name);
            messages.entry(name.clone()).or_default();
            current = Some(name);
        } else if line == "}" {
            current = None;
        } else if let (Some(attribute), Some(message)) = (line.strip_prefix("#[prost("), &current) {
            let mut field = String::new();
            while !field.ends_with(',') {
                field.push_str(lines.next().unwrap_or(","));
            }
            messages.entry(message.clone()).or_default().extend(member(attribute, &field, module));
        }
    }
}

fn member(attribute: &str, field: &str, module: &[String]) -> Option<Member> {
    let number = attribute.split("tag = \"").nth(1)?.split('"').next()?.parse().ok()?;
    let (name, kind) = field.strip_prefix("pub ")?.split_once(':')?;
    let name = plain(name.strip_prefix("r#").unwrap_or(name));
    let message = attribute.starts_with("message").then(|| resolve(kind, module));
    Some(Member { name, number, message })
}

/// `::core::option::Option<super::v1::Pod>,` seen from its module.
fn resolve(kind: &str, module: &[String]) -> String {
    let path = kind.rsplit('<').next().unwrap_or(kind).trim_end_matches([',', '>']).trim();
    let mut parts: Vec<&str> = path.split("::").collect();
    let name = parts.pop().unwrap_or_default();
    let ups = parts.iter().filter(|part| **part == "super").count();
    let downs = parts.into_iter().filter(|part| *part != "super").map(str::to_owned);
    let module: Vec<String> = module[..module.len().saturating_sub(ups)].iter().cloned().chain(downs).collect();
    key(&module.join("."), name)
}
