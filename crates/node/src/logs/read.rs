//! Reads a log: the last lines, from a time on, to a limit, and on and on.
use super::{line::Line, rotation::aside};
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use std::{
    io::{self, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
    sync::mpsc,
};

/// Read at once, and kept at most of a line that does not end.
const CHUNK_BYTES: usize = 64 << 10;
/// How often a follower looks for more. A reader is a person or a collector: neither sees a tenth of a second.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);

/// What `kubectl logs` asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Query {
    pub follow: bool,
    pub timestamps: bool,
    pub tail_lines: Option<u64>,
    pub since: Option<Timestamp>,
    pub limit_bytes: Option<u64>,
}

/// The parts of one log, oldest first, open. None: nothing was written yet.
pub(crate) struct Log {
    path: PathBuf,
    parts: Vec<File>,
    /// How much the last part is read up to.
    position: u64,
}

/// Opens a log with what was moved aside of it.
pub(crate) async fn open(path: &Path) -> io::Result<Log> {
    let mut parts = Vec::new();
    for part in [aside(path), path.to_owned()] {
        match File::open(&part).await {
            Ok(file) => parts.push(file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(Log { path: path.to_owned(), parts, position: 0 })
}

/// Sends what is asked for. Ends at the end of the log, or of the container where it is followed, or when nobody listens any more.
pub(crate) async fn stream(mut log: Log, query: &Query, is_running: impl Fn() -> bool, out: &mpsc::Sender<Bytes>) -> io::Result<()> {
    let mut filter = Filter { query, left: query.limit_bytes, is_mid_line: false };
    skip_to_tail(&mut log, query.tail_lines).await?;
    loop {
        // Asked before reading: what was written before the container ended is read after it.
        let goes_on = query.follow && is_running();
        if !send_all(&mut log, &mut filter, out).await? || !goes_on {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOW_EVERY) => {}
            () = out.closed() => return Ok(()),
        }
        log.follow_rotation().await?;
    }
}

impl Log {
    /// Goes on in the new file when the one that was read was moved aside, or cut.
    async fn follow_rotation(&mut self) -> io::Result<()> {
        let Ok(new) = File::open(&self.path).await else { return Ok(()) };
        let found = new.metadata().await?;
        let same = match self.parts.last() {
            Some(part) => is_same_file(&part.metadata().await?, &found) && found.len() >= self.position,
            None => false,
        };
        if !same {
            self.parts.push(new);
            self.position = 0;
        }
        Ok(())
    }
}

fn is_same_file(a: &std::fs::Metadata, b: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Reads all parts to their ends. False: enough was sent, or nobody listens. The last part stays open.
async fn send_all(log: &mut Log, filter: &mut Filter<'_>, out: &mpsc::Sender<Bytes>) -> io::Result<bool> {
    let Log { parts, position, .. } = log;
    loop {
        let is_last = parts.len() <= 1;
        let Some(part) = parts.first_mut() else { return Ok(true) };
        let mut rest = BytesMut::new();
        let unread = loop {
            rest.reserve(CHUNK_BYTES);
            let read = part.read_buf(&mut rest).await?;
            let is_end = read == 0;
            let mut sent = BytesMut::new();
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.split_to(end + 1);
                filter.take(&line[..end], &mut sent);
            }
            // A line without an end is taken as it is, rather than kept for ever.
            if rest.len() >= CHUNK_BYTES {
                let line = rest.split();
                filter.take(&line, &mut sent);
            }
            if !sent.is_empty() && out.send(sent.freeze()).await.is_err() || filter.left == Some(0) {
                return Ok(false);
            }
            if is_end {
                break rest.len();
            }
        };
        if !is_last {
            parts.remove(0);
            continue;
        }
        // The beginning of a line is read again, with its end.
        let back = i64::try_from(unread).unwrap_or(0);
        *position = part.seek(SeekFrom::Current(-back)).await?;
        return Ok(true);
    }
}

/// Leaves out what was not asked for.
struct Filter<'a> {
    query: &'a Query,
    left: Option<u64>,
    is_mid_line: bool,
}

impl Filter<'_> {
    fn take(&mut self, raw: &[u8], out: &mut BytesMut) {
        let line = Line::read(raw);
        if let (Some(since), Some(time)) = (self.query.since, line.time())
            && time < since
        {
            return;
        }
        if self.query.timestamps && !self.is_mid_line && !line.stamp.is_empty() {
            self.put(line.stamp, out);
            self.put(b" ", out);
        }
        self.put(line.text, out);
        if !line.is_partial {
            self.put(b"\n", out);
        }
        self.is_mid_line = line.is_partial;
    }

    fn put(&mut self, bytes: &[u8], out: &mut BytesMut) {
        let room = self.left.map_or(bytes.len(), |left| usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len()));
        out.extend_from_slice(&bytes[..room]);
        if let Some(left) = &mut self.left {
            *left -= room as u64;
        }
    }
}

/// Moves to where the last lines begin.
async fn skip_to_tail(log: &mut Log, lines: Option<u64>) -> io::Result<()> {
    let Some(mut wanted) = lines else { return Ok(()) };
    for index in (0..log.parts.len()).rev() {
        let (found, start) = last_lines(&mut log.parts[index], wanted).await?;
        log.parts[index].seek(SeekFrom::Start(start)).await?;
        wanted -= found;
        if wanted == 0 {
            log.parts.drain(..index);
            return Ok(());
        }
    }
    Ok(())
}

/// How many of the last lines a file has, up to `wanted`, and where they begin. Reads backwards.
async fn last_lines(file: &mut File, wanted: u64) -> io::Result<(u64, u64)> {
    let mut position = file.seek(SeekFrom::End(0)).await?;
    if wanted == 0 {
        return Ok((0, position));
    }
    let mut found = 0;
    let mut is_last_byte = true;
    let mut chunk = vec![0; CHUNK_BYTES];
    while position > 0 {
        let size = usize::try_from(position).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        position -= size as u64;
        file.seek(SeekFrom::Start(position)).await?;
        file.read_exact(&mut chunk[..size]).await?;
        for index in (0..size).rev() {
            let ends_line = chunk[index] == b'\n';
            // The newline at the very end ends the last line; any other ends the line before the ones that were counted.
            if ends_line && !is_last_byte {
                found += 1;
                if found == wanted {
                    return Ok((found, position + index as u64 + 1));
                }
            }
            is_last_byte = false;
        }
    }
    // The file's first line has no newline before it.
    Ok((if is_last_byte { 0 } else { found + 1 }, 0))
}

#[cfg(test)]
mod tests;
