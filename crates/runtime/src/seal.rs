//! The seal on compiled code: machine code is loaded only when its HMAC says that this node's own compiler made it from that Wasm for this engine.
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::io::{self, Read};

/// How much code is read at once while it is sealed.
const PIECE_BYTES: usize = 64 * 1024;

/// A node's own secret, made once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(pub [u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The seal of a piece of code, in hex.
pub fn seal(key: &Key, wasm_digest: &str, engine: &str, code: &mut impl Read) -> io::Result<String> {
    Ok(hex(&authenticate(key, wasm_digest, engine, code)?.finalize().into_bytes()))
}

/// Whether that seal is on that code. Takes the same time wherever they differ.
pub fn holds(key: &Key, wasm_digest: &str, engine: &str, code: &mut impl Read, seal: &str) -> io::Result<bool> {
    let Some(seal) = unhex(seal) else { return Ok(false) };
    Ok(authenticate(key, wasm_digest, engine, code)?.verify_slice(&seal).is_ok())
}

fn authenticate(key: &Key, wasm_digest: &str, engine: &str, code: &mut impl Read) -> io::Result<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes keys of every length");
    // Lengths first, so that no two different triples are the same bytes.
    for part in [wasm_digest, engine] {
        mac.update(&u64::try_from(part.len()).expect("a length fits").to_be_bytes());
        mac.update(part.as_bytes());
    }
    let mut piece = vec![0u8; PIECE_BYTES];
    loop {
        match code.read(&mut piece) {
            Ok(0) => return Ok(mac),
            Ok(read) => mac.update(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || text.len() % 2 == 1 {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key([7; 32]);

    #[test]
    fn holds_for_exactly_what_was_sealed() {
        let code = b"machine code".repeat(10_000);
        let made = seal(&KEY, "sha256:a", "engine", &mut code.as_slice()).unwrap();
        let check = |key: &Key, digest, engine, code: &[u8], seal: &str| holds(key, digest, engine, &mut &*code, seal).unwrap();
        assert!(check(&KEY, "sha256:a", "engine", &code, &made));
        assert!(!check(&Key([8; 32]), "sha256:a", "engine", &code, &made));
        assert!(!check(&KEY, "sha256:b", "engine", &code, &made));
        assert!(!check(&KEY, "sha256:ae", "ngine", &code, &made));
        assert!(!check(&KEY, "sha256:a", "engine", &code[1..], &made));
        for bad in ["", "00", "zz", "é", &made[2..], &made.replace(&made[..1], "x")] {
            assert!(!check(&KEY, "sha256:a", "engine", &code, bad), "{bad}");
        }
    }

    #[test]
    fn breaks_with_every_flipped_byte() {
        let code: Vec<u8> = (0..2_000u32).map(|n| (n % 251) as u8).collect();
        let made = seal(&KEY, "d", "e", &mut code.as_slice()).unwrap();
        for at in 0..code.len() {
            let mut flipped = code.clone();
            flipped[at] ^= 1;
            assert!(!holds(&KEY, "d", "e", &mut flipped.as_slice(), &made).unwrap(), "byte {at}");
        }
    }
}
