//! What a Wasm file is: told from its bytes alone.
use crate::Error;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use wasmparser::{Encoding, Parser, Payload};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    pub form: Form,
    pub world: World,
    /// The newest WASI that it names: `0.2.12`, `0.3.0`, `preview1`; None where it names none.
    pub wasi: Option<String>,
    /// Interfaces (or core modules) that somebody has to give it, sorted.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    pub size_bytes: u64,
    /// `sha256:<hex>`.
    pub digest: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    Component,
    /// A core module.
    Module,
}

/// What it can do for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum World {
    /// Runs to its end: exports `wasi:cli/run`, or a core `_start`.
    Command,
    /// Is served: exports an HTTP handler.
    Http,
    /// Both; served, unless the container gives `command` or `args`.
    Both,
    /// Neither: a library.
    Other,
}

impl Description {
    /// `wasip1`, `wasip2` or `wasip3`, as OCI configurations name the system.
    pub fn os(&self) -> &'static str {
        match (self.form, self.wasi.as_deref()) {
            (Form::Module, _) => "wasip1",
            (Form::Component, Some(version)) if version.starts_with("0.3") => "wasip3",
            (Form::Component, _) => "wasip2",
        }
    }
}

/// `sha256:<hex>` of bytes.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Reads a module's or a component's outermost imports and exports.
pub fn describe(bytes: &[u8]) -> Result<Description, Error> {
    if !bytes.starts_with(b"\0asm") {
        return Err(Error::NotWasm(format!("not a WebAssembly file: it starts with {}, not with \\0asm", first_bytes(bytes))));
    }
    let (form, imports, exports) = names(bytes).map_err(|e| Error::NotWasm(format!("not a valid WebAssembly file: {e}")))?;
    let world = world_of(form, &exports);
    let wasi = imports.iter().chain(&exports).filter_map(|name| wasi_version(name)).max_by_key(|version| sort_key(version));
    let (imports, exports) = (imports.into_iter().collect(), exports.into_iter().collect());
    Ok(Description { form, world, wasi, imports, exports, size_bytes: bytes.len() as u64, digest: digest_of(bytes) })
}

/// For a person: what else it may be.
fn first_bytes(bytes: &[u8]) -> String {
    match bytes {
        [] => "nothing (the file is empty)".into(),
        [0x7f, b'E', b'L', b'F', ..] => "an ELF header (a native or precompiled program)".into(),
        [0x1f, 0x8b, ..] => "a gzip header".into(),
        [b'#', b'!', ..] => "a script's #!".into(),
        [b'(', ..] => "WAT text".into(),
        _ => format!("{:02x?}", &bytes[..bytes.len().min(4)]),
    }
}

type Names = (Form, BTreeSet<String>, BTreeSet<String>);

fn names(bytes: &[u8]) -> Result<Names, wasmparser::BinaryReaderError> {
    let (mut form, mut depth) = (Form::Module, 0_usize);
    let (mut imports, mut exports) = (BTreeSet::new(), BTreeSet::new());
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding, .. } => {
                if depth == 0 {
                    form = if encoding == Encoding::Component { Form::Component } else { Form::Module };
                }
                depth += 1;
            }
            Payload::End(_) => depth -= 1,
            _ if depth != 1 => {}
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    imports.insert(import?.module.to_owned());
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    exports.insert(export?.name.to_owned());
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    imports.insert(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    exports.insert(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((form, imports, exports))
}

fn world_of(form: Form, exports: &BTreeSet<String>) -> World {
    let exports_one_of = |prefixes: &[&str]| exports.iter().any(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)));
    let (runs, serves) = match form {
        Form::Module => (exports.contains("_start"), false),
        Form::Component => (exports_one_of(&["wasi:cli/run@"]), exports_one_of(&["wasi:http/incoming-handler@", "wasi:http/handler@"])),
    };
    match (runs, serves) {
        (true, true) => World::Both,
        (true, false) => World::Command,
        (false, true) => World::Http,
        (false, false) => World::Other,
    }
}

/// `wasi:http/types@0.2.3` names 0.2.3.
fn wasi_version(name: &str) -> Option<String> {
    if name == "wasi_snapshot_preview1" {
        return Some("preview1".into());
    }
    name.strip_prefix("wasi:")?.split_once('@').map(|(_, version)| version.to_owned())
}

fn sort_key(version: &str) -> Vec<u64> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(wat: &str) -> String {
        match wat::parse_str(wat).map(|bytes| describe(&bytes)).unwrap() {
            Ok(d) => format!("{:?} {:?} {} {:?} -> {:?}", d.form, d.world, d.wasi.unwrap_or_default(), d.imports, d.exports),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn tells_commands_handlers_and_libraries_apart() {
        let run = r#"(component (core module $m (func (export "run") (result i32) i32.const 0)) (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run"))) (instance $r (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $r)))"#;
        for (wat, expected) in [
            (
                r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))) (func (export "_start")))"#,
                r#"Module Command preview1 ["wasi_snapshot_preview1"] -> ["_start"]"#,
            ),
            (r#"(module (func (export "add")))"#, r#"Module Other  [] -> ["add"]"#),
            (run, r#"Component Command 0.2.0 [] -> ["wasi:cli/run@0.2.0"]"#),
            (
                r#"(component (import "wasi:cli/exit@0.2.12" (instance)) (import "wasi:io/streams@0.2.9" (instance)))"#,
                r#"Component Other 0.2.12 ["wasi:cli/exit@0.2.12", "wasi:io/streams@0.2.9"] -> []"#,
            ),
        ] {
            assert_eq!(told(wat), expected);
        }
    }

    #[test]
    fn says_what_else_it_is() {
        for (bytes, expected) in [
            (
                &b"\x7fELF\x02"[..],
                "not a WebAssembly file: it starts with an ELF header (a native or precompiled program), not with \\0asm",
            ),
            (b"", "not a WebAssembly file: it starts with nothing (the file is empty), not with \\0asm"),
        ] {
            assert_eq!(describe(bytes).unwrap_err().to_string(), expected);
        }
        assert!(describe(b"\0asm\x01\0\0\0\xff").unwrap_err().to_string().starts_with("not a valid WebAssembly file: "));
    }
}
