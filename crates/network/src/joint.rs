//! How the pods' namespace is joined to the host: a pair of links, and the routes on both sides. Laying it twice changes nothing.
//!
//! ```text
//! host                                          pods' namespace
//! knarr-1a2b3c4d 10.42.0.1 ------------------- pods 10.42.0.2
//! 10.42.0.0/24 via 10.42.0.2                    default via 10.42.0.1
//! 10.96.0.0/16 via 10.42.0.2                    local 10.42.0.0/24, local 10.96.0.0/16 dev lo
//! ```
//! Everything goes through one next hop, so that a thousand pods are one entry in the neighbour table and not a thousand. `10.42.0.1` stands as a neighbour in
//! the namespace's table of own addresses, or the wider `local` range would take it for one.
use crate::{
    Result, cidr,
    error::Doing,
    namespace::{self, Life, Namespace, Owner},
    netlink::{LO, Link, Netlink, Route, Way},
    sockets::Resident,
};
use ipnet::Ipv4Net;
use std::{fs, io};

const INSIDE: &str = "pods";
const EVERYWHERE: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 0);
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// Whether cluster IPs answer on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Services {
    FromHost,
    /// Another cluster on this machine has that range.
    FromPodsOnly,
}

/// Joins the namespace to the host. `host` is a thread in the host's namespace.
pub fn lay(host: &Resident, namespace: &Namespace, owner: &Owner, pods: Ipv4Net, services: Ipv4Net) -> Result<Services> {
    ensure_pair(host, namespace, owner)?;
    namespace.talk(async move |netlink| lay_inside(netlink, pods, services).await)?;
    let owner = owner.clone();
    let answer = talk(host, async move |netlink| lay_on_host(netlink, &owner, pods, services).await)?;
    forward();
    Ok(answer)
}

/// Takes the pair away, and with it every route over it. Routes to other nodes are `peers`' own.
pub fn remove(host: &Resident, owner: &Owner) -> Result<()> {
    let name = owner.host_link();
    talk(host, async move |netlink| match netlink.link(&name).await? {
        Some(link) => netlink.delete_link(&link).await,
        None => Ok(()),
    })
}

pub fn talk<T: Send + 'static>(host: &Resident, what: impl AsyncFnOnce(&Netlink) -> Result<T> + Send + 'static) -> Result<T> {
    host.run(move || crate::netlink::talk(what)).doing("talking in the host's network namespace")?
}

/// Both ends there, or a new pair: half of one is what a lost namespace leaves behind.
fn ensure_pair(host: &Resident, namespace: &Namespace, owner: &Owner) -> Result<()> {
    let there = namespace.talk(async |netlink| netlink.link(INSIDE).await)?;
    let (name, alias, peer) = (owner.host_link(), owner.alias.clone(), namespace.raw_fd());
    talk(host, async move |netlink| {
        let here = netlink.link(&name).await?;
        if let (Some(_), Some(_)) = (&here, &there) {
            return Ok(());
        }
        if let Some(half) = here {
            netlink.delete_link(&half).await?;
        }
        netlink.add_pair(&name, INSIDE, peer).await?;
        let link = found(netlink.link(&name).await?, &name)?;
        netlink.set_alias(link.index, &alias).await
    })
}

async fn lay_inside(netlink: &Netlink, pods: Ipv4Net, services: Ipv4Net) -> Result<()> {
    let link = found(netlink.link(INSIDE).await?, INSIDE)?.index;
    netlink.set_up(LO).await?;
    netlink.add_address(link, cidr::inside(pods)).await?;
    netlink.set_up(link).await?;
    let wanted = inside_routes(link, pods, services);
    for old in netlink.routes().await?.into_iter().filter(|route| route.ours && !wanted.contains(route)) {
        netlink.delete_route(&old).await?;
    }
    for route in &wanted {
        netlink.set_route(route).await?;
    }
    Ok(())
}

fn inside_routes(link: u32, pods: Ipv4Net, services: Ipv4Net) -> [Route; 4] {
    let gateway = cidr::gateway(pods);
    let source = Some(cidr::inside(pods));
    let route = |to, way, link| Route { to, way, link: Some(link), metric: 0, ours: true };
    [
        route(Ipv4Net::from(gateway), Way::Neighbour, link),
        route(pods.trunc(), Way::Own { source }, LO),
        route(services.trunc(), Way::Own { source }, LO),
        route(EVERYWHERE, Way::Via(gateway), link),
    ]
}

async fn lay_on_host(netlink: &Netlink, owner: &Owner, pods: Ipv4Net, services: Ipv4Net) -> Result<Services> {
    bury_the_gone(netlink).await?;
    let name = owner.host_link();
    let link = found(netlink.link(&name).await?, &name)?.index;
    netlink.add_address(link, cidr::gateway(pods)).await?;
    netlink.set_up(link).await?;
    let wanted = |to: Ipv4Net| Route { to: to.trunc(), way: Way::Via(cidr::inside(pods)), link: Some(link), metric: 0, ours: true };
    let (to_pods, to_services) = (wanted(pods), wanted(services));
    let there = netlink.routes().await?;
    for old in there.iter().filter(|route| route.ours && route.link == Some(link) && ![to_pods, to_services].contains(route)) {
        netlink.delete_route(old).await?;
    }
    netlink.set_route(&to_pods).await?;
    for other in there.iter().filter(|route| route.to.prefix_len() > 0 && route.link != Some(link) && cidr::overlap(&route.to, &services)) {
        if !(other.ours && is_stopped(netlink, other).await?) {
            return Ok(Services::FromPodsOnly);
        }
        // Its proxy is dead with it; when it comes back it finds the range taken.
        netlink.delete_route(other).await?;
    }
    netlink.set_route(&to_services).await?;
    Ok(Services::FromHost)
}

async fn is_stopped(netlink: &Netlink, route: &Route) -> Result<bool> {
    let links = netlink.links().await?;
    let link = links.iter().find(|link| Some(link.index) == route.link);
    Ok(link.and_then(|link| link.alias.as_deref()).is_some_and(|alias| namespace::life(alias) != Life::Alive))
}

/// Removes what nodes left whose data folder is gone, so that killed demos do not pile up.
async fn bury_the_gone(netlink: &Netlink) -> Result<()> {
    for link in netlink.links().await? {
        if namespace::is_host_link(&link.name) && link.alias.as_deref().is_some_and(|alias| namespace::life(alias) == Life::Gone) {
            tracing::info!(link = link.name, "removing the link of a node that is gone");
            netlink.delete_link(&link).await?;
        }
    }
    Ok(())
}

fn found(link: Option<Link>, name: &str) -> Result<Link> {
    link.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)).doing(format!("looking for the link {name}"))
}

/// Lets the host pass packets on: pods of other nodes come through it. Where that cannot be set, pods still reach everything on this node.
fn forward() {
    if fs::read_to_string(FORWARDING).is_ok_and(|said| said.trim() == "1") {
        return;
    }
    if let Err(error) = fs::write(FORWARDING, "1") {
        tracing::warn!(%error, "ip_forward is off: pods of other nodes are not reachable");
    }
}
