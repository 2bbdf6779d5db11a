//! Commands: a component's `wasi:cli/run`, or a core module's `_start`, run once to the end.
use crate::{
    containers::Containers,
    ending::Ending,
    guest::{self, CoreGuest, Guest},
    live::{Live, charged},
};
use std::{future::poll_fn, pin::pin, sync::Arc};
use wasmtime::InstancePre;
use wasmtime_wasi::p2::bindings::CommandPre;

pub async fn run(containers: Arc<Containers>, live: Arc<Live>, pre: CommandPre<Guest>) {
    let guest = async {
        let mut store = guest::store(&containers.engine, &containers, &live)?;
        let command = pre.instantiate_async(&mut store).await?;
        Ok(command.wasi_cli_run().call_run(&mut store).await?.map_or(1, |()| 0))
    };
    to_its_end(&containers, &live, guest).await;
}

pub async fn run_core(containers: Arc<Containers>, live: Arc<Live>, pre: InstancePre<CoreGuest>) {
    let guest = async {
        let mut store = guest::core_store(&containers.engine, &live)?;
        let instance = pre.instantiate_async(&mut store).await?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
        start.call_async(&mut store, ()).await?;
        Ok(0)
    };
    to_its_end(&containers, &live, guest).await;
}

async fn to_its_end(containers: &Containers, live: &Live, guest: impl Future<Output = wasmtime::Result<i32>>) {
    let ending = {
        let mut guest = pin!(guest);
        tokio::select! {
            ended = poll_fn(|context| charged(live, guest.as_mut(), context)) => match ended {
                Ok(code) => Ending::exit(code),
                Err(error) => Ending::of(&error),
            },
            () = live.killed.cancelled() => Ending::terminated(),
        }
    };
    // By now its store is gone, and with it what it had not written out of its last line.
    containers.end(live, ending);
}
