//! Protobuf's wire format: a message is a row of numbered parts.
use super::ProtobufError;

/// The bytes of a message, read as its parts. After an error nothing follows.
pub(super) struct Message<'b>(pub &'b [u8]);

#[derive(Clone, Copy)]
pub(super) enum Part<'b> {
    Number(u64),
    Bytes(&'b [u8]),
    Fixed64(u64),
    Fixed32(u32),
}

impl<'b> Iterator for Message<'b> {
    type Item = Result<(u32, Part<'b>), ProtobufError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let part = part(&mut self.0);
        if part.is_err() {
            self.0 = &[];
        }
        Some(part)
    }
}

impl<'b> Part<'b> {
    pub fn bytes(self) -> Result<&'b [u8], ProtobufError> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(wrong_type()) }
    }

    pub fn integer(self) -> Result<i64, ProtobufError> {
        match self {
            Self::Number(number) | Self::Fixed64(number) => Ok(number.cast_signed()),
            Self::Fixed32(number) => Ok(number.into()),
            // A missing value in a map.
            Self::Bytes([]) => Ok(0),
            Self::Bytes(_) => Err(wrong_type()),
        }
    }

    pub fn float(self) -> Result<f64, ProtobufError> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            Self::Fixed32(bits) => Ok(f32::from_bits(bits).into()),
            Self::Bytes([]) => Ok(0.0),
            Self::Number(_) | Self::Bytes(_) => Err(wrong_type()),
        }
    }
}

fn part<'b>(rest: &mut &'b [u8]) -> Result<(u32, Part<'b>), ProtobufError> {
    let tag = varint(rest)?;
    let number = u32::try_from(tag >> 3).ok().filter(|n| *n > 0).ok_or_else(|| ProtobufError::Malformed("proto: illegal tag".into()))?;
    let part = match tag & 7 {
        0 => Part::Number(varint(rest)?),
        1 => Part::Fixed64(u64::from_le_bytes(fixed(rest)?)),
        2 => {
            let length = usize::try_from(varint(rest)?).map_err(|_| ended())?;
            let (bytes, after) = rest.split_at_checked(length).ok_or_else(ended)?;
            *rest = after;
            Part::Bytes(bytes)
        }
        5 => Part::Fixed32(u32::from_le_bytes(fixed(rest)?)),
        other => return Err(ProtobufError::Malformed(format!("proto: illegal wireType {other}"))),
    };
    Ok((number, part))
}

pub(super) fn varint(rest: &mut &[u8]) -> Result<u64, ProtobufError> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().ok_or_else(ended)?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(ProtobufError::Malformed("proto: integer overflow".into()))
}

fn fixed<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ProtobufError> {
    let (bytes, after) = rest.split_first_chunk().ok_or_else(ended)?;
    *rest = after;
    Ok(*bytes)
}

fn ended() -> ProtobufError {
    ProtobufError::Malformed("unexpected EOF".into())
}

fn wrong_type() -> ProtobufError {
    ProtobufError::Malformed("proto: wrong wireType".into())
}
