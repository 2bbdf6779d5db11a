//! Patches: from an object and a patch to the patched object. Depth is bounded by the reader that made the values.
mod json;
mod merge;
mod strategic;

pub use json::{apply as json, unknown_members};
pub use merge::apply as merge;
pub use strategic::apply as strategic;

use crate::{
    Status,
    json::{Oddity, read_noting},
};
use serde_json::Value;

/// Reads the body of any of the three, and notes what it says twice.
pub fn read(body: &[u8]) -> Result<(Value, Vec<Oddity>), Status> {
    read_noting(body).map_err(|_| Status::bad_request("invalid JSON patch"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_json() {
        for body in ["[{", "data: {n: new}", ""] {
            assert_eq!(read(body.as_bytes()).unwrap_err(), Status::bad_request("invalid JSON patch"), "{body}");
        }
        let (_, odd) = read(br#"{"data":{"k":"1","k":"2"}}"#).unwrap();
        assert_eq!(odd, [Oddity::Duplicate { path: "data.k".into() }]);
    }
}
