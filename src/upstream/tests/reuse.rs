//! Reuse of connections: order, stale ones, bounds and the clock.

use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{LONG_MS, OK, Peer, call, client, ok, post, run};
use crate::domain::egress::{ConnectionConfig, EgressConfig};
use crate::upstream::TransportError;
use crate::upstream::connect::{HeadDeadline, connect};
use crate::upstream::pools::Pools;
use crate::upstream::request_url::RequestUrl;
use crate::upstream::shelf::IdleLimits;

#[test]
fn connection_used_last_is_used_first() {
    let peer = Peer::start(|accepted| {
        while accepted.read_request().is_some() {
            let body = accepted.number;
            accepted.write(&format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{body}"
            ));
            // the end of the body waits for a call in between
            std::thread::sleep(Duration::from_millis(20));
            accepted.write(".");
        }
    });
    run(async {
        let client = client();
        let mut first = post(&client, &peer, Bytes::new()).await.expect("a head");
        let mut second = post(&client, &peer, Bytes::new()).await.expect("a head");
        for response in [&mut second, &mut first] {
            while response.next(LONG_MS).await.expect("data").is_some() {}
        }
        for _ in 0..3 {
            let (_, body) = call(&client, &peer).await.expect("answered");
            assert_eq!(body, "1.", "the connection that came back last");
        }
        assert_eq!(peer.counts(), (2, 5));
    });
}

#[test]
fn body_that_is_kept_is_not_overwritten_by_the_next_exchange() {
    let peer = Peer::start(|accepted| {
        for digit in '1'.. {
            let Some(_) = accepted.read_request() else {
                return;
            };
            let body = digit.to_string().repeat(2_000);
            accepted.write(&format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n{body}"
            ));
        }
    });
    run(async {
        let client = client();
        let mut kept = Vec::new();
        for _ in 0..3 {
            let mut response = post(&client, &peer, Bytes::new()).await.expect("a head");
            while let Some(bytes) = response.next(LONG_MS).await.expect("data") {
                kept.push(bytes);
            }
        }
        let kept: Vec<u8> = kept.concat();
        let sent = ["1", "2", "3"].map(|digit| digit.repeat(2_000)).concat();
        assert_eq!(String::from_utf8(kept), Ok(sent));
        assert_eq!(peer.counts(), (1, 3));
    });
}

/// Peer that answers the first request of its first connection, and reads the second one there without answering more than this.
fn stale(answer: &'static str) -> Peer {
    Peer::start(move |accepted| {
        accepted.read_request();
        accepted.write(OK);
        let is_first = accepted.number == 1;
        while accepted.read_request().is_some() {
            accepted.write(if is_first { answer } else { OK });
            if is_first {
                return;
            }
        }
    })
}

#[test]
fn request_on_a_stale_connection_is_sent_once_more_on_a_new_one() {
    let peer = stale("");
    run(async {
        let client = client();
        for _ in 0..3 {
            assert_eq!(call(&client, &peer).await, Ok(ok()));
        }
        assert_eq!(peer.counts(), (2, 4));
    });
}

#[test]
fn request_whose_response_began_is_not_sent_again() {
    let peer = stale("H");
    run(async {
        let client = client();
        assert_eq!(call(&client, &peer).await, Ok(ok()));
        let lost = call(&client, &peer).await;
        assert!(
            matches!(lost, Err(TransportError::ConnectionLost(_))),
            "{lost:?}"
        );
        assert_eq!(peer.counts(), (1, 2));
    });
}

#[test]
fn request_on_a_new_connection_is_not_sent_again() {
    let peer = Peer::closing_after("");
    run(async {
        let lost = call(&client(), &peer).await;
        assert!(
            matches!(lost, Err(TransportError::ConnectionLost(_))),
            "{lost:?}"
        );
        assert_eq!(peer.counts(), (1, 1));
    });
}

#[test]
fn connection_that_the_peer_closed_or_wrote_to_is_not_reused() {
    for late in ["", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate"] {
        let (sender, closed) = mpsc::channel();
        let peer = Peer::start(move |accepted| {
            accepted.read_request();
            accepted.write(OK);
            std::thread::sleep(Duration::from_millis(20));
            accepted.write(late);
            let _ = sender.send(());
            if !late.is_empty() {
                accepted.wait_for_end();
            }
        });
        run(async {
            let client = client();
            for count in 1..=3 {
                assert_eq!(call(&client, &peer).await, Ok(ok()));
                assert_eq!(peer.counts(), (count, count), "{late}");
                closed.recv().expect("the peer ran");
                // the close reaches the socket's reader
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
}

/// The event loop has no turn between the late bytes and the next call.
#[test]
fn late_bytes_that_the_event_loop_has_not_noticed_are_not_read_as_the_next_response() {
    for late in ["", "HTTP/1.1 408 Late\r\ncontent-length: 4\r\n\r\nlate"] {
        let (sender, written) = mpsc::channel();
        let peer = Peer::start(move |accepted| {
            accepted.read_request();
            accepted.write(OK);
            std::thread::sleep(Duration::from_millis(20));
            accepted.write(late);
            if late.is_empty() {
                let _ = accepted.stream.shutdown(std::net::Shutdown::Both);
            }
            let _ = sender.send(());
            accepted.wait_for_end();
        });
        run(async {
            let client = client();
            for count in 1..=3 {
                assert_eq!(call(&client, &peer).await, Ok(ok()));
                assert_eq!(peer.counts(), (count, count), "{late}");
                // this thread waits, and with it the event loop
                written.recv().expect("the peer ran");
            }
        });
    }
}

/// Peer that answers the first request of a connection, and closes it so long after the second one.
fn closing_late(after: Duration) -> Peer {
    Peer::start(move |accepted| {
        accepted.read_request();
        accepted.write(OK);
        if accepted.read_request().is_some() {
            std::thread::sleep(after);
        }
    })
}

#[test]
fn request_whose_reused_connection_ends_after_a_second_is_not_sent_again() {
    let peer = closing_late(Duration::from_millis(1_100));
    run(async {
        let client = client();
        assert_eq!(call(&client, &peer).await, Ok(ok()));
        let lost = call(&client, &peer).await;
        assert!(
            matches!(lost, Err(TransportError::ConnectionLost(_))),
            "the upstream may have worked for it: {lost:?}"
        );
        assert_eq!(peer.counts(), (1, 2));
    });
}

/// Pools with one idle connection to the peer and these limits.
async fn pools_with_idle(peer: &Peer, limits: IdleLimits, connections: usize) -> Rc<Pools> {
    let pools = Pools::new(Arc::new(EgressConfig::default()), limits);
    let url = peer.url();
    let url = RequestUrl::parse(&url).expect("a URL");
    let origin = pools.origin(&ConnectionConfig::default(), url.origin);
    let origin = origin.expect("built-in roots");
    let limits = (Duration::from_secs(60), HeadDeadline::after(LONG_MS));
    let mut opened = Vec::new();
    for _ in 0..connections {
        let guard = |_: &str, _| true;
        let opening = connect(&origin.dialer, &origin.tls, &url, &guard, limits);
        opened.push(opening.await.unwrap_or_else(|error| panic!("{error}")));
    }
    opened
        .into_iter()
        .for_each(|connection| origin.shelf.put(connection));
    pools
}

fn idle_peer() -> (Peer, mpsc::Receiver<()>) {
    let (sender, ended) = mpsc::channel();
    let peer = Peer::start(move |accepted| {
        accepted.wait_for_end();
        let _ = sender.send(());
    });
    (peer, ended)
}

const UNLIMITED: IdleLimits = IdleLimits {
    idle_max: Duration::from_secs(3_600),
    lifetime_max: Duration::from_secs(3_600),
    count_max: 100,
};

#[test]
fn idle_connections_close_by_the_clock_and_their_origin_is_forgotten() {
    for limits in [
        IdleLimits {
            idle_max: Duration::from_millis(30),
            ..UNLIMITED
        },
        IdleLimits {
            idle_max: Duration::from_millis(300),
            lifetime_max: Duration::from_millis(30),
            ..UNLIMITED
        },
    ] {
        let (peer, ended) = idle_peer();
        run(async {
            let pools = pools_with_idle(&peer, limits, 3).await;
            let deadline = Instant::now() + Duration::from_secs(60);
            let mut closed = 0;
            while closed < 3 || pools.origin_count() > 0 {
                assert!(Instant::now() < deadline, "an idle connection stays open");
                closed += ended.try_iter().count();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
}

#[test]
fn idle_connections_are_bounded_and_apart_by_their_settings() {
    let (peer, ended) = idle_peer();
    run(async {
        let limits = IdleLimits {
            count_max: 2,
            ..UNLIMITED
        };
        let pools = pools_with_idle(&peer, limits, 5).await;
        for _ in 0..3 {
            ended
                .recv_timeout(Duration::from_secs(60))
                .expect("it is closed");
        }
        let url = peer.url();
        let url = RequestUrl::parse(&url).expect("a URL");
        let idle = |settings: &ConnectionConfig| {
            let origin = pools.origin(settings, url.origin).expect("built-in roots");
            std::iter::from_fn(|| origin.shelf.take()).count()
        };
        let private = ConnectionConfig {
            private_hosts: vec!["10.0.0.0/8".parse().expect("a network")],
            ..ConnectionConfig::default()
        };
        let patient = ConnectionConfig {
            connect_timeout_ms: Some(5),
            ..ConnectionConfig::default()
        };
        assert_eq!((idle(&private), idle(&patient)), (0, 2));
        assert_eq!(pools.origin_count(), 2);
    });
}
