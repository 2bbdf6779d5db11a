//! What we ask of the kernel's links and routes, over netlink: a bare Debian has no `ip` command. A call speaks for the namespace of the
//! thread it runs on, and that thread must not belong to an async runtime.
use crate::{Result, error::Doing};
use futures_util::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        link::{InfoData, InfoVeth, LinkAttribute},
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType},
    },
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::RawFd,
};

/// Who made a route, as `ip route` shows it (`proto 75`): ours are known as ours after a crash. 75 is free, and a K.
const PROTOCOL: RouteProtocol = RouteProtocol::Other(75);
/// The loopback link has this index in every namespace.
pub const LO: u32 = 1;
const TABLE_LOCAL: u32 = 255;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// Free text on a link. We write the data folder there, so that everybody sees whose it is.
    pub alias: Option<String>,
}

/// What a packet to `to` meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub to: Ipv4Net,
    pub way: Way,
    pub link: Option<u32>,
    pub metric: u32,
    /// Made by a knarr.
    pub ours: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Through a router that need not be in a subnet of the link.
    Via(Ipv4Addr),
    /// To neighbours on the link, also for addresses that a wider range calls our own.
    Neighbour,
    /// Every address of the range is our own; connections that we make to it come from `source`.
    Own { source: Option<Ipv4Addr> },
}

pub struct Netlink(Handle);

/// Opens a conversation, has it, closes it.
pub fn talk<T>(what: impl AsyncFnOnce(&Netlink) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().doing("talking to the kernel")?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().doing("opening a netlink socket")?;
        let task = tokio::spawn(connection);
        let result = what(&Netlink(handle)).await;
        task.abort();
        result
    })
}

impl Netlink {
    pub async fn links(&self) -> Result<Vec<Link>> {
        let all: Vec<_> = self.0.link().get().execute().try_collect().await.map_err(cause).doing("listing links")?;
        Ok(all
            .into_iter()
            .map(|message| {
                let mut link = Link { index: message.header.index, name: String::new(), alias: None };
                for attribute in message.attributes {
                    match attribute {
                        LinkAttribute::IfName(name) => link.name = name,
                        LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
                        _ => {}
                    }
                }
                link
            })
            .collect())
    }

    pub async fn link(&self, name: &str) -> Result<Option<Link>> {
        Ok(self.links().await?.into_iter().find(|link| link.name == name))
    }

    /// A pair of links, one here and one in the namespace that `peer_namespace` is open on.
    pub async fn add_pair(&self, here: &str, there: &str, peer_namespace: RawFd) -> Result<()> {
        let peer = LinkUnspec::new_with_name(there).setns_by_fd(peer_namespace).build();
        let pair = LinkVeth::new(here, there).set_info_data(InfoData::Veth(InfoVeth::Peer(peer))).build();
        self.0.link().add(pair).execute().await.map_err(cause).doing(format!("making the link {here}"))
    }

    pub async fn delete_link(&self, link: &Link) -> Result<()> {
        self.0.link().del(link.index).execute().await.map_err(cause).doing(format!("removing the link {}", link.name))
    }

    pub async fn set_up(&self, index: u32) -> Result<()> {
        self.change(LinkUnspec::new_with_index(index).up()).await
    }

    pub async fn set_alias(&self, index: u32, alias: &str) -> Result<()> {
        self.change(LinkUnspec::new_with_index(index).append_extra_attribute(LinkAttribute::IfAlias(alias.to_owned()))).await
    }

    async fn change(&self, link: LinkMessageBuilder<LinkUnspec>) -> Result<()> {
        self.0.link().change(link.build()).execute().await.map_err(cause).doing("changing a link")
    }

    /// Gives a link an address of its own, with no subnet around it.
    pub async fn add_address(&self, index: u32, address: Ipv4Addr) -> Result<()> {
        let request = self.0.address().add(index, IpAddr::V4(address), 32).replace();
        request.execute().await.map_err(cause).doing(format!("giving a link the address {address}"))
    }

    /// The IPv4 routes of all tables that are not about single addresses of this machine itself.
    pub async fn routes(&self) -> Result<Vec<Route>> {
        let all = self.0.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute();
        let all: Vec<RouteMessage> = all.try_collect().await.map_err(cause).doing("listing routes")?;
        Ok(all.iter().filter_map(read).collect())
    }

    /// Adds a route, or puts it in the place of the one to the same range with the same metric.
    pub async fn set_route(&self, route: &Route) -> Result<()> {
        self.0.route().add(message(route)).replace().execute().await.map_err(cause).doing(format!("routing {}", route.to))
    }

    /// Removes a route; one that is not there any more is no error.
    pub async fn delete_route(&self, route: &Route) -> Result<()> {
        match self.0.route().del(message(route)).execute().await.map_err(cause) {
            Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Ok(()),
            result => result.doing(format!("removing the route to {}", route.to)),
        }
    }

    /// The link that a packet to `address` would leave by.
    pub async fn link_towards(&self, address: Ipv4Addr) -> Result<Option<u32>> {
        let request = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(address, 32).build();
        let answer =
            self.0.route().get(request).execute().try_next().await.map_err(cause).doing(format!("asking for the way to {address}"))?;
        Ok(answer.and_then(|route| {
            route.attributes.iter().find_map(|attribute| if let RouteAttribute::Oif(index) = attribute { Some(*index) } else { None })
        }))
    }
}

fn cause(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}

fn message(route: &Route) -> RouteMessage {
    let builder = RouteMessageBuilder::<Ipv4Addr>::new().protocol(PROTOCOL).destination_prefix(route.to.network(), route.to.prefix_len());
    let builder = match route.link {
        Some(link) => builder.output_interface(link),
        None => builder,
    };
    let builder = if route.metric == 0 { builder } else { builder.priority(route.metric) };
    match route.way {
        Way::Via(router) if route.link.is_some() => builder.gateway(router).onlink().build(),
        Way::Via(router) => builder.gateway(router).build(),
        Way::Neighbour => builder.scope(RouteScope::Link).table_id(TABLE_LOCAL).build(),
        Way::Own { source } => {
            let builder = builder.kind(RouteType::Local).scope(RouteScope::Host).table_id(TABLE_LOCAL);
            match source {
                Some(source) => builder.pref_source(source).build(),
                None => builder.build(),
            }
        }
    }
}

/// Reads a route out of a listing; nothing where it is of no interest to us: IPv6, broadcasts, the kernel's entries for single addresses.
fn read(message: &RouteMessage) -> Option<Route> {
    let ours = message.header.protocol == PROTOCOL;
    let own = message.header.kind == RouteType::Local;
    if !own && message.header.kind != RouteType::Unicast || own && !ours {
        return None;
    }
    let mut to = Ipv4Addr::UNSPECIFIED;
    let (mut via, mut source, mut link, mut metric) = (None, None, None, 0);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => to = *address,
            RouteAttribute::Destination(_) => return None,
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => via = Some(*address),
            RouteAttribute::PrefSource(RouteAddress::Inet(address)) => source = Some(*address),
            RouteAttribute::Oif(index) => link = Some(*index),
            RouteAttribute::Priority(priority) => metric = *priority,
            _ => {}
        }
    }
    let way = match via {
        _ if own => Way::Own { source },
        Some(router) => Way::Via(router),
        None => Way::Neighbour,
    };
    Some(Route { to: Ipv4Net::new(to, message.header.destination_prefix_length).ok()?, way, link, metric, ours })
}
