//! What every Runtime promises, as a suite that each one's tests call.
use crate::{Container, ContainerId, Error, Image, Limits, Listen, Observed, Runtime, State};
use std::{collections::BTreeMap, net::TcpListener, os::fd::OwnedFd, path::Path, time::Duration};

/// Longest wait for something that a runtime promises to do soon.
const SOON: Duration = Duration::from_secs(60);

/// Images that do what their names say.
#[derive(Debug, Clone)]
pub struct Subjects {
    pub serves: Image,
    pub exits_42: Image,
    pub completes: Image,
    pub not_wasm: Image,
}

/// A container of the suite, in the domain `contract`. Its log lies in `logs`, which exists.
pub fn container(image: &Image, name: &str, attempt: u32, logs: &Path) -> Container {
    Container {
        pod_uid: "11111111-2222-3333-4444-555555555555".into(),
        pod: "contract/subject".into(),
        domain: "contract".into(),
        name: name.into(),
        attempt,
        image: image.clone(),
        args: vec![],
        run_as_command: false,
        env: BTreeMap::new(),
        mounts: vec![],
        limits: Limits::default(),
        listen: vec![],
        log_path: logs.join(format!("{name}-{attempt}.log")),
        stdin: false,
    }
}

/// Runs the whole suite. Panics at the first broken promise.
pub async fn check(runtime: &dyn Runtime, subjects: &Subjects, logs: &Path) {
    serves_until_it_is_stopped(runtime, subjects, logs).await;
    reports_how_a_command_ended(runtime, &subjects.exits_42, 42, "Error", logs).await;
    reports_how_a_command_ended(runtime, &subjects.completes, 0, "Completed", logs).await;
    says_what_cannot_run(runtime, subjects, logs).await;
    knows_whom_it_does_not_know(runtime).await;
}

async fn serves_until_it_is_stopped(runtime: &dyn Runtime, subjects: &Subjects, logs: &Path) {
    runtime.prepare(&subjects.serves).await.expect("a good image can be prepared");
    runtime.prepare(&subjects.serves).await.expect("and again");
    let (wanted, socket) = listening(container(&subjects.serves, "web", 0, logs));
    let again = socket.try_clone().expect("a descriptor can be duplicated");
    let id = runtime.start(wanted.clone(), vec![socket]).await.expect("a prepared image starts");
    assert_eq!(id, wanted.id());
    assert_eq!(runtime.start(wanted.clone(), vec![again]).await, Ok(id.clone()), "starting what runs is no second container");
    let seen = runtime.observe().await.expect("can be observed");
    assert_eq!(seen.iter().filter(|o| o.id == id).count(), 1);
    let running = find(&seen, &id).expect("a started container is observed");
    assert!(matches!(running.state, State::Running { started_at_ms } if started_at_ms > 0), "{running:?}");
    assert_eq!((running.pod_uid.as_str(), running.name.as_str(), running.attempt), (wanted.pod_uid.as_str(), "web", 0));
    assert!(runtime.usage().await.expect("usage is known").iter().any(|(used, _)| *used == id), "what runs is accounted for");
    let held = runtime.listeners().await.expect("listeners are known");
    assert!(held.iter().any(|(l, _)| l.pod_uid == wanted.pod_uid && l.listen == wanted.listen[0]), "what serves holds its listener");
    assert!(matches!(runtime.remove(&id).await, Err(Error::Unavailable(_))), "what runs is not removed");
    runtime.stop(&id, 1_000).await.expect("what runs can be stopped");
    let stopped = find(&runtime.observe().await.expect("observed"), &id).expect("a stopped container is still observed").clone();
    assert!(matches!(&stopped.state, State::Exited { code: 0, reason, .. } if reason == "Completed"), "{stopped:?}");
    runtime.stop(&id, 1_000).await.expect("stopping what has ended does nothing");
    runtime.remove(&id).await.expect("what has ended can be removed");
    assert!(find(&runtime.observe().await.expect("observed"), &id).is_none(), "a removed container is forgotten");
}

async fn reports_how_a_command_ended(runtime: &dyn Runtime, image: &Image, want: i32, because: &str, logs: &Path) {
    let wanted = container(image, &format!("exits-{want}"), 3, logs);
    let id = runtime.start(wanted, vec![]).await.expect("a command starts");
    let ended = ended(runtime, &id).await;
    let State::Exited { code, reason, started_at_ms, finished_at_ms, .. } = &ended.state else { unreachable!("`ended` waits for this") };
    assert_eq!((*code, reason.as_str()), (want, because));
    assert!(started_at_ms <= finished_at_ms);
    runtime.remove(&id).await.expect("what has ended can be removed");
}

async fn says_what_cannot_run(runtime: &dyn Runtime, subjects: &Subjects, logs: &Path) {
    assert!(matches!(runtime.prepare(&subjects.not_wasm).await, Err(Error::NotRunnable(_))));
    let wanted = container(&subjects.not_wasm, "text", 0, logs);
    let id = wanted.id();
    assert!(matches!(runtime.start(wanted, vec![]).await, Err(Error::NotRunnable(_))));
    assert!(find(&runtime.observe().await.expect("observed"), &id).is_none(), "what could not start is not observed");
}

async fn knows_whom_it_does_not_know(runtime: &dyn Runtime) {
    let nobody = ContainerId::new("no-pod", "nobody", 0);
    for answer in [runtime.stop(&nobody, 0).await, runtime.remove(&nobody).await, runtime.reopen_log(&nobody, Path::new("/nowhere")).await]
    {
        assert_eq!(answer, Err(Error::NoSuchContainer(nobody.clone())));
    }
}

/// Waits until a container has ended.
pub async fn ended(runtime: &dyn Runtime, id: &ContainerId) -> Observed {
    let waiting = async {
        loop {
            let changed = runtime.changed();
            let seen = runtime.observe().await.expect("observed");
            if let Some(found) = find(&seen, id)
                && matches!(found.state, State::Exited { .. })
            {
                return found.clone();
            }
            changed.await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("{id} has not ended"))
}

/// Gives a container a listener on a free port of loopback.
pub fn listening(mut container: Container) -> (Container, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    container.listen = vec![Listen { address: listener.local_addr().expect("a bound socket has an address") }];
    (container, listener.into())
}

fn find<'a>(seen: &'a [Observed], id: &ContainerId) -> Option<&'a Observed> {
    seen.iter().find(|o| o.id == *id)
}
