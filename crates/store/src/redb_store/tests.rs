use super::*;
use crate::{Durability, contract};
use redb::StorageBackend;
use std::{
    io,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// A disk in memory that can lose power: what was written since the last sync is gone, or part of it.
#[derive(Debug, Clone, Default)]
struct Platter(Arc<Mutex<Sectors>>);

#[derive(Debug, Default)]
struct Sectors {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Writes since the last sync, in order.
    loose: Vec<(usize, Vec<u8>)>,
    syncs: usize,
    fails: Arc<AtomicBool>,
}

impl Platter {
    /// The disk after a power cut that kept of the loose writes those whose bit is set.
    fn after_power_cut(&self, kept: u64) -> Self {
        let sectors = self.0.lock().unwrap();
        let mut now = sectors.synced.clone();
        for (index, (offset, data)) in sectors.loose.iter().enumerate() {
            if kept >> (index % 64) & 1 == 1 {
                now.resize(now.len().max(offset + data.len()), 0);
                now[*offset..offset + data.len()].copy_from_slice(data);
            }
        }
        Self(Arc::new(Mutex::new(Sectors { synced: now.clone(), now, ..Sectors::default() })))
    }

    fn syncs(&self) -> usize {
        self.0.lock().unwrap().syncs
    }

    fn fail(&self) {
        self.0.lock().unwrap().fails.store(true, Ordering::SeqCst);
    }
}

impl StorageBackend for Platter {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let sectors = self.0.lock().unwrap();
        out.copy_from_slice(sectors.now.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        // A file's length is metadata of the file system, which journals it: it survives.
        let (mut sectors, len) = (self.0.lock().unwrap(), usize::try_from(len).unwrap());
        sectors.now.resize(len, 0);
        sectors.synced.resize(len, 0);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        let mut sectors = self.0.lock().unwrap();
        if sectors.fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        sectors.syncs += 1;
        sectors.synced = sectors.now.clone();
        sectors.loose.clear();
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (mut sectors, start) = (self.0.lock().unwrap(), usize::try_from(offset).unwrap());
        sectors.now[start..start + data.len()].copy_from_slice(data);
        sectors.loose.push((start, data.to_vec()));
        Ok(())
    }
}

fn store(platter: &Platter) -> Arc<RedbStore> {
    let disk = Disk::with_backend(platter.clone()).unwrap();
    Arc::new(RedbStore::start(disk, "a platter", contract::keeps(), None).unwrap())
}

async fn create(store: &RedbStore, key: &str) -> Result<Revision, Error> {
    store.write(key, Expect::Absent, Some(contract::value(key))).await
}

async fn keys(store: &RedbStore) -> Vec<(String, Revision)> {
    let (list, _) = store.list("/", Page::default()).await.unwrap();
    list.into_iter().map(|found| (found.key, found.revision)).collect()
}

#[tokio::test]
async fn keeps_the_contract() {
    contract::check(|| store(&Platter::default()), |store| store).await;
}

#[tokio::test]
async fn keeps_the_contract_over_restarts() {
    let folders = Mutex::new(vec![]);
    let open = || {
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(folder.path(), contract::keeps()).unwrap();
        folders.lock().unwrap().push(folder);
        Arc::new(store) as Arc<dyn Store>
    };
    let reopen = |store: Arc<dyn Store>| {
        drop(store);
        let folder = folders.lock().unwrap().last().unwrap().path().to_owned();
        Arc::new(RedbStore::open(folder, contract::keeps()).unwrap()) as Arc<dyn Store>
    };
    contract::check(open, reopen).await;
}

#[tokio::test]
async fn a_power_cut_loses_nothing_that_was_acknowledged_and_repeats_no_revision() {
    let mut platter = Platter::default();
    let (mut acknowledged, mut newest) = (vec![], Revision(0));
    for round in 0..24_u64 {
        let running = store(&platter);
        let found = keys(&running).await;
        for known in &acknowledged {
            assert!(found.contains(known), "round {round}: {known:?} is lost");
        }
        for number in 0..3 {
            let soon = create(&running, &format!("/soon/a/b/{round}-{number}")).await.unwrap();
            let key = format!("/p/a/b/{round}-{number}");
            let revision = create(&running, &key).await.unwrap();
            assert!(newest < soon && soon < revision, "round {round}: revision {soon} was handed out before");
            newest = revision;
            acknowledged.push((key, revision));
        }
        newest = create(&running, &format!("/soon/a/b/{round}-last")).await.unwrap();
        platter = platter.after_power_cut(round.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    }
}

#[tokio::test]
async fn one_commit_carries_many_writes() {
    let platter = Platter::default();
    let store = store(&platter);
    let before = platter.syncs();
    let writes = (0..200).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { create(&store, &format!("/p/a/b/{number}")).await.unwrap() })
    });
    let mut revisions = vec![];
    for write in writes.collect::<Vec<_>>() {
        revisions.push(write.await.unwrap().0);
    }
    revisions.sort_unstable();
    assert!(revisions.windows(2).all(|pair| pair[0] + 1 == pair[1]), "no gap and no repeat");
    assert!(platter.syncs() - before < 200, "{} syncs for 200 writes", platter.syncs() - before);
}

#[tokio::test]
async fn an_unsynced_write_costs_no_sync() {
    let platter = Platter::default();
    let store = store(&platter);
    create(&store, "/p/a/b/first").await.unwrap();
    let before = platter.syncs();
    for number in 0..20 {
        create(&store, &format!("/soon/a/b/{number}")).await.unwrap();
    }
    assert_eq!(platter.syncs(), before);
}

#[tokio::test]
async fn acknowledges_nothing_after_a_failed_sync() {
    let platter = Platter::default();
    let running = store(&platter);
    create(&running, "/p/a/b/kept").await.unwrap();
    platter.fail();
    for key in ["/p/a/b/lost", "/soon/a/b/lost"] {
        assert!(matches!(create(&running, key).await, Err(Error::Unavailable(_))), "{key}");
    }
    assert!(running.get("/p/a/b/kept").await.unwrap().is_some(), "reading goes on");
    let found = keys(&store(&platter.after_power_cut(0))).await;
    assert_eq!(found, [("/p/a/b/kept".to_owned(), Revision(1))]);
}

#[tokio::test]
async fn keys_expire_over_a_restart_too() {
    let keeps = |time_to_live| vec![Keep { prefix: "/brief/".into(), durability: Durability::Soon, time_to_live: Some(time_to_live) }];
    let folder = tempfile::tempdir().unwrap();
    let first = RedbStore::open(folder.path(), keeps(Duration::from_secs(3600))).unwrap();
    create(&first, "/brief/a/b/c").await.unwrap();
    let revision = create(&first, "/p/a/b/c").await.unwrap();
    drop(first);
    let second = RedbStore::open(folder.path(), keeps(Duration::ZERO)).unwrap();
    let change = second.watch("/brief/", revision).await.unwrap().next().await.unwrap().remove(0);
    assert!(matches!(change, crate::Change::Delete { was, at } if was.key == "/brief/a/b/c" && at > revision));
    assert_eq!(keys(&second).await.len(), 1);
}

#[test]
fn a_folder_has_one_process_and_the_second_learns_which() {
    let folder = tempfile::tempdir().unwrap();
    let first = RedbStore::open(folder.path(), vec![]).unwrap();
    let Err(Error::InUse { by, .. }) = RedbStore::open(folder.path(), vec![]) else { panic!("the folder was opened twice") };
    assert!(by.starts_with(&format!("process {} (", std::process::id())), "{by}");
    drop(first);
    assert!(RedbStore::open(folder.path(), vec![]).is_ok());
}

#[test]
fn refuses_what_a_newer_version_wrote() {
    let folder = tempfile::tempdir().unwrap();
    drop(RedbStore::open(folder.path(), vec![]).unwrap());
    disk::tests::set_format(&folder.path().join("store.redb"), 2);
    let error = RedbStore::open(folder.path(), vec![]).err().unwrap();
    assert!(matches!(error, Error::NewerFormat { found: 2, known: 1, .. }), "{error}");
}
