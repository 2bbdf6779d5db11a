//! The agent as a whole: what all its parts share, and the loops that wake them.
mod loops;
mod remains;
#[cfg(test)]
pub(crate) mod tests;

use crate::{
    api::Api,
    config::Config,
    error::Error,
    images::{ImageSource, InUse},
    kubelet, logs,
    machine::Machine,
    observer::Observer,
    prober::Prober,
    registration,
    slots::{Slots, Wake},
    status::Host,
    surroundings::NodeFacts,
    teller::Teller,
    timers::Timers,
    waiting::Waiting,
    worker,
};
use knarr_cluster::{Cluster, Identity, Interest, Recorder};
use knarr_runtime::{PodNetwork, Runtime};
use std::sync::Arc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The node agent. It only obeys the API: all that it knows is on the shelf, in the runtime or on the disk, so it can be killed and
/// started again at any time, and what runs goes on.
pub struct Agent {
    pub config: Config,
    pub cluster: Cluster,
    pub interest: Arc<dyn Interest>,
    pub runtime: Arc<dyn Runtime>,
    pub network: Arc<dyn PodNetwork>,
    pub images: Arc<dyn ImageSource>,
}

/// What workers and loops share.
pub(crate) struct Shared {
    pub config: Config,
    pub cluster: Cluster,
    pub interest: Arc<dyn Interest>,
    pub runtime: Arc<dyn Runtime>,
    pub network: Arc<dyn PodNetwork>,
    pub images: Arc<dyn ImageSource>,
    pub machine: Machine,
    pub api: Api,
    pub teller: Teller,
    pub in_use: InUse,
    pub slots: Slots,
    pub timers: Timers,
    pub prober: Prober,
    pub observer: Observer,
    pub waiting: Waiting,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Agent {
    /// Runs until it is told to stop. Containers go on running: the next agent finds them.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let Self { config, cluster, interest, runtime, network, images } = self;
        let identity = Identity::node(&config.node_name);
        let recorder = Recorder::on_node(cluster.clone(), identity, "kubelet", &config.node_name);
        let server = kubelet::Server::new(&config.kubelet)?;
        let shared = Arc::new(Shared {
            machine: Machine::look(&config.data_dir),
            api: Api::new(cluster.clone(), &config.node_name),
            teller: Teller::new(recorder, &config.node_name),
            in_use: InUse::default(),
            slots: Slots::default(),
            timers: Timers::default(),
            prober: Prober::default(),
            observer: Observer::default(),
            waiting: Waiting::default(),
            tasks: TaskTracker::new(),
            stop: stop.clone(),
            config,
            cluster,
            interest,
            runtime,
            network,
            images,
        });
        let loops = async {
            tokio::join!(
                registration::run(&shared),
                loops::pods(&shared),
                loops::timers(&shared),
                loops::config(&shared),
                logs::rotate(&shared),
                server.serve(&shared),
            );
        };
        tokio::select! {
            () = loops => {}
            () = stop.cancelled() => {}
        }
        shared.tasks.close();
        shared.tasks.wait().await;
        Ok(())
    }
}

impl Shared {
    pub fn host(&self) -> Host {
        Host { address: self.config.node_address }
    }

    pub fn facts(&self) -> NodeFacts {
        NodeFacts {
            name: self.config.node_name.clone(),
            address: self.config.node_address,
            cpu_millis: self.machine.cpu_millis,
            memory_bytes: self.machine.memory_bytes,
            ephemeral_storage_bytes: self.machine.storage_bytes,
        }
    }

    /// A task that ends with the agent. Being cut off is no worse than being killed, which everything here survives.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = task => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// Starts a worker where one is needed.
    pub fn act(self: &Arc<Self>, uid: &Arc<str>, wake: Wake) {
        if wake == Wake::Start {
            self.spawn(worker::work(Arc::clone(self), Arc::clone(uid)));
        }
    }
}
