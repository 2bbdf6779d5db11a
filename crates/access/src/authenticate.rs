//! Who asks: by client certificate, by bearer token, or nobody in particular.
use crate::Pki;
use knarr_cluster::Identity;
use knarr_machinery::{Status, names};
use x509_parser::prelude::{FromDer as _, X509Certificate};

pub const AUTHENTICATED: &str = "system:authenticated";

/// The user of a certificate that TLS has verified: CN is the name, each O a group.
pub fn by_certificate(der: &[u8]) -> Option<Identity> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let user = subject.iter_common_name().next()?.as_str().ok().filter(|name| !name.is_empty())?;
    let mut groups: Vec<_> = subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect();
    groups.push(AUTHENTICATED.into());
    Some(Identity { user: user.into(), groups, ..Identity::default() })
}

/// The agent of a node, by `<secret>:<node name>`. Any other token is refused: who shows a wrong one is not taken for nobody.
pub fn by_bearer(pki: &Pki, token: &str) -> Result<Identity, Status> {
    let (secret, node) = token.split_once(':').ok_or_else(Status::unauthorized)?;
    if pki.is_node_secret(secret) && names::is_dns_subdomain(node).is_empty() {
        Ok(Identity::node(node))
    } else {
        Err(Status::unauthorized())
    }
}

/// Who shows nothing.
pub fn anonymous() -> Identity {
    Identity { user: "system:anonymous".into(), groups: vec!["system:unauthenticated".into()], ..Identity::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knarr_cluster::remote::JoinToken;

    #[test]
    fn a_node_names_itself_and_shows_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open_or_create(dir.path(), &[]).unwrap();
        let token = pki.join_token().to_string().parse::<JoinToken>().unwrap();
        let who = by_bearer(&pki, &token.bearer("node-1")).unwrap();
        assert_eq!((who.user.as_str(), who.groups[0].as_str()), ("system:node:node-1", "system:nodes"));
        for wrong in ["", "x", "x:node-1", &token.bearer(""), &token.bearer("Node_1"), &token.secret] {
            assert_eq!(by_bearer(&pki, wrong).unwrap_err().code, 401, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_certificate_names_nobody() {
        assert_eq!(by_certificate(b"rubbish"), None);
    }
}
