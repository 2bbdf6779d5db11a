//! Frames with descriptors over a Unix socket: `length, descriptor count, JSON`, the descriptors beside the first byte.
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};
use tokio::{io::Interest, net::UnixStream, sync::mpsc};

/// The largest frame. A routing table of 10,000 services with ten endpoints each is some 8 MiB.
pub const FRAME_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Descriptors in one frame. The kernel takes 253.
pub const DESCRIPTORS_MAX: usize = 250;
/// Frames that wait to be written. When it is full, who sends waits.
const QUEUE: usize = 64;
/// Length and count, each four bytes, the most significant first.
const HEADER_BYTES: usize = 8;

struct Frame {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

/// The writing end. A send that is given up leaves no half frame behind: one task writes. That task ends with the last sender.
#[derive(Clone)]
pub struct Sender {
    queue: mpsc::Sender<Frame>,
}

/// The reading end.
pub struct Receiver {
    stream: Arc<UnixStream>,
}

/// Takes a connected socket apart. Call it inside a tokio runtime.
pub fn open(stream: UnixStream) -> (Sender, Receiver) {
    let stream = Arc::new(stream);
    let (queue, mut frames) = mpsc::channel::<Frame>(QUEUE);
    let out = stream.clone();
    tokio::spawn(async move {
        while let Some(frame) = frames.recv().await {
            // A peer that is gone shows itself to the reader too, who reports it.
            if write(&out, &frame).await.is_err() {
                return;
            }
        }
    });
    (Sender { queue }, Receiver { stream })
}

impl Sender {
    /// Hands a message to the writer. Fails when the peer is gone, or when the message is too large.
    pub async fn send<T: Serialize>(&self, message: &T, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let json = serde_json::to_vec(message)?;
        if json.len() > FRAME_BYTES_MAX || descriptors.len() > DESCRIPTORS_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a frame of {} bytes and {} descriptors", json.len(), descriptors.len()),
            ));
        }
        let length = u32::try_from(json.len()).expect("a frame is smaller than 4 GiB");
        let count = u32::try_from(descriptors.len()).expect("a frame has few descriptors");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + json.len());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&json);
        self.queue.send(Frame { bytes, descriptors }).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Receiver {
    /// The next message. None: the peer closed. Not cancel-safe: give up a receive only together with the connection.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut header = [0u8; HEADER_BYTES];
        let mut descriptors = Vec::new();
        if !self.fill(&mut header, &mut descriptors).await? {
            return Ok(None);
        }
        let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize;
        let (length, count) = (word(0), word(4));
        if length > FRAME_BYTES_MAX || count != descriptors.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a frame of {length} bytes, {} of {count} descriptors", descriptors.len()),
            ));
        }
        let mut json = vec![0u8; length];
        if !self.fill(&mut json, &mut descriptors).await? && length > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if descriptors.len() != count {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "descriptors in the middle of a frame"));
        }
        Ok(Some((serde_json::from_slice(&json)?, descriptors)))
    }

    /// Fills the buffer. False: the peer closed before its first byte.
    async fn fill(&self, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<bool> {
        let mut filled = 0;
        while filled < buffer.len() {
            let read =
                self.stream.async_io(Interest::READABLE, || read_some(self.stream.as_fd(), &mut buffer[filled..], descriptors)).await?;
            match read {
                0 if filled == 0 => return Ok(false),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        Ok(true)
    }
}

fn read_some(stream: BorrowedFd<'_>, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(stream, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok(received.bytes)
}

async fn write(stream: &UnixStream, frame: &Frame) -> io::Result<()> {
    let mut written = 0;
    while written < frame.bytes.len() {
        // Header and descriptors are one message of their own, so that the reader gets them together.
        let (part, rights) = if written < HEADER_BYTES {
            (&frame.bytes[written..HEADER_BYTES], if written == 0 { frame.descriptors.as_slice() } else { &[] })
        } else {
            (&frame.bytes[written..], &[] as &[OwnedFd])
        };
        let borrowed: Vec<BorrowedFd<'_>> = rights.iter().map(AsFd::as_fd).collect();
        written += stream.async_io(Interest::WRITABLE, || write_some(stream.as_fd(), part, &borrowed)).await?;
    }
    Ok(())
}

fn write_some(stream: BorrowedFd<'_>, bytes: &[u8], rights: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !rights.is_empty() && !control.push(SendAncillaryMessage::ScmRights(rights)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
    }
    Ok(sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::File,
        io::{Read, Seek, Write},
    };

    fn pair() -> ((Sender, Receiver), (Sender, Receiver)) {
        let (a, b) = UnixStream::pair().unwrap();
        (open(a), open(b))
    }

    #[tokio::test]
    async fn carries_frames_of_every_size_in_order() {
        let ((out, _keep), (_other, mut input)) = pair();
        let sizes = [0usize, 1, 70_000, 3_000_000];
        let sending = tokio::spawn(async move {
            for size in sizes {
                out.send(&"x".repeat(size), vec![]).await.unwrap();
            }
            out
        });
        for size in sizes {
            let (text, descriptors) = input.receive::<String>().await.unwrap().unwrap();
            assert_eq!((text.len(), descriptors.len()), (size, 0));
        }
        sending.await.unwrap();
    }

    #[tokio::test]
    async fn carries_as_many_descriptors_as_a_frame_may_have() {
        let ((out, _keep), (_other, mut input)) = pair();
        let mut file = tempfile();
        file.write_all(b"seen on the other side").unwrap();
        let many = (0..DESCRIPTORS_MAX).map(|_| file.try_clone().unwrap().into()).collect();
        out.send(&1, many).await.unwrap();
        out.send(&2, vec![]).await.unwrap();
        let (_, mut descriptors) = input.receive::<u32>().await.unwrap().unwrap();
        assert_eq!(descriptors.len(), DESCRIPTORS_MAX);
        let mut copy = File::from(descriptors.pop().unwrap());
        copy.rewind().unwrap();
        let mut text = String::new();
        copy.read_to_string(&mut text).unwrap();
        assert_eq!(text, "seen on the other side");
        assert_eq!(input.receive::<u32>().await.unwrap().unwrap().0, 2);
    }

    #[tokio::test]
    async fn says_that_the_peer_closed() {
        let ((out, keep), (_other, mut input)) = pair();
        drop((out, keep));
        assert!(input.receive::<u32>().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn refuses_a_length_beyond_the_bound_before_it_allocates() {
        let (mut raw, b) = UnixStream::pair().unwrap();
        let (_sender, mut input) = open(b);
        tokio::io::AsyncWriteExt::write_all(&mut raw, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]).await.unwrap();
        assert_eq!(input.receive::<u32>().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn refuses_to_send_more_descriptors_than_fit() {
        let ((out, _keep), _other) = pair();
        let file = tempfile();
        let many = (0..=DESCRIPTORS_MAX).map(|_| file.try_clone().unwrap().into()).collect();
        assert!(out.send(&1, many).await.is_err());
    }

    fn tempfile() -> File {
        File::from(rustix::fs::memfd_create("frame", rustix::fs::MemfdFlags::CLOEXEC).unwrap())
    }
}
