//! A worker on the control plane of a unit test, with a provider that is never reached.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::{self, Config, Overrides};
use crate::control::test_control::TestControl;
use crate::domain::secret::Secret;
use crate::gateway::{Gateway, GatewayParts};
use crate::price::Sheet;
use crate::route::{RouteCell, RouteTable};
use crate::server::public_url::PublicUrl;
use crate::server::worker::Worker;
use crate::store::seal::SealKey;
use crate::trace::Tracer;
use crate::upstream::{Client, Egress};

const CONFIG: &str =
    "[providers.simulator]\nbase_url = \"http://127.0.0.1:9/v1\"\nmodels = [\"simulator-small\"]\n";

fn config() -> Config {
    let overrides = Overrides {
        data: Some("x".into()),
        listen: Some("127.0.0.1:0".to_owned()),
        config: None,
    };
    config::parse(Path::new("test"), CONFIG, &overrides, &|_| None).expect("a valid configuration")
}

pub(super) fn worker(instance: &TestControl) -> Worker {
    let config = config();
    let routes = RouteTable::new(
        &config.providers,
        Arc::new(Sheet::parse("{\"models\":[]}").expect("an empty sheet")),
    );
    let parts = GatewayParts {
        cache: None,
        ceilings: instance.control.ceilings().clone(),
        denials: Arc::default(),
        directory: instance.directory.clone(),
        ledger: instance.ledger.clone(),
        pseudonyms: instance.control.pseudonyms().clone(),
        alerts: mpsc::channel(1).0,
        deployment_alerts: mpsc::channel(1).0,
        seal_key: SealKey::of_secret(&Secret::new("0123456789abcdef0123456789abcdef")),
        memory: None,
        captures: None,
        tracer: Tracer::off(),
        time: instance.time.clone(),
        return_memory: || {},
    };
    let gateway =
        Gateway::new(&config, Arc::new(RouteCell::new(routes)), parts).expect("random bytes");
    let egress = Egress::open(&config.egress, 1_000, []).expect("TLS roots");
    Worker {
        gateway: Arc::new(gateway),
        control: instance.control.clone(),
        directory: instance.directory.clone(),
        ledger: instance.ledger.clone(),
        time: instance.time.clone(),
        client: Client::new(&egress, None),
        public: PublicUrl::new(None, ([127, 0, 0, 1], 4000).into(), false),
        trusted_proxies: ["10.0.0.0/8".parse().expect("a network")].into(),
    }
}
