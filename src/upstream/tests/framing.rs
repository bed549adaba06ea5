//! Framing of requests and responses, early and broken responses, timeouts.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{LONG_MS, OK, Peer, call, client, ok, post, post_within, run};
use crate::upstream::TransportError;

#[test]
fn request_is_sent_as_given_and_its_connection_reused() {
    let (sender, sent) = mpsc::channel();
    let peer = Peer::start(move |accepted| {
        while let Some(request) = accepted.read_request() {
            let _ = sender.send(request);
            accepted.write(OK);
        }
    });
    run(async {
        let client = client();
        for _ in 0..5 {
            assert_eq!(call(&client, &peer).await, Ok(ok()));
        }
        assert_eq!(peer.counts(), (1, 5));
        let (head, body) = sent.recv().expect("a request");
        let expected = format!(
            "POST /v1/chat?x=1 HTTP/1.1\r\nhost: {}\r\ncontent-length: 8\r\nx-a: 1\r\n\r\n",
            peer.address
        );
        assert_eq!((head, &body[..]), (expected, &b"question"[..]));
    });
}

#[test]
fn response_framed_in_any_way_is_read_whole() {
    for (answer, reused) in [
        (OK, true),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello",
            false,
        ),
        ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", false),
        // bytes behind the response would be taken for the next one
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP",
            false,
        ),
    ] {
        let peer = Peer::answering(answer);
        run(async {
            let client = client();
            for _ in 0..3 {
                assert_eq!(call(&client, &peer).await, Ok(ok()), "{answer}");
            }
            let connections = if reused { 1 } else { 3 };
            assert_eq!(peer.counts(), (connections, 3), "{answer}");
        });
    }
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\n\r\nhello",
    ] {
        let peer = Peer::closing_after(answer);
        run(async {
            assert_eq!(call(&client(), &peer).await, Ok(ok()), "{answer}");
        });
    }
}

#[test]
fn status_without_body_ends_the_connection() {
    let late = "HTTP/1.1 204 No Content\r\n\r\n";
    let peer = Peer::answering(late);
    run(async {
        let client = client();
        for count in 1..=3 {
            assert_eq!(call(&client, &peer).await, Ok((204, Bytes::new())));
            assert_eq!(peer.counts(), (count, count));
        }
    });
}

#[test]
fn truncated_body_is_an_error_and_never_complete() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nhello",
    ] {
        let peer = Peer::closing_after(answer);
        run(async {
            let mut response = post(&client(), &peer, Bytes::new()).await.expect("a head");
            let mut read = Vec::new();
            let end = loop {
                match response.next(LONG_MS).await {
                    Ok(Some(bytes)) => read.extend_from_slice(&bytes),
                    end => break end,
                }
            };
            assert_eq!(read, b"hello", "{answer}");
            assert!(
                matches!(end, Err(TransportError::Truncated(_))),
                "{answer}: {end:?}"
            );
            assert!(response.next(LONG_MS).await.is_err(), "{answer}");
        });
    }
}

#[test]
fn malformed_chunk_is_an_error_behind_the_data_before_it() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n";
    let peer = Peer::answering(answer);
    run(async {
        let mut response = post(&client(), &peer, Bytes::new()).await.expect("a head");
        let data = response.next(LONG_MS).await;
        assert_eq!(data, Ok(Some(Bytes::from_static(b"hello"))));
        for _ in 0..2 {
            let next = response.next(LONG_MS).await;
            assert!(matches!(next, Err(TransportError::Exchange(_))), "{next:?}");
        }
    });
}

#[test]
fn response_to_an_unread_request_is_returned() {
    let answer = "HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nhello";
    let peer = Peer::start(move |accepted| {
        accepted.read_head();
        accepted.write(answer);
        std::thread::sleep(Duration::from_millis(50));
    });
    run(async {
        let body = Bytes::from(vec![b'x'; 32 << 20]);
        let response = post(&client(), &peer, body).await.expect("a head");
        assert_eq!(response.status, 413);
    });
}

#[test]
fn rest_of_a_request_is_sent_while_its_response_is_read() {
    let (sender, sent) = mpsc::channel();
    let peer = Peer::start(move |accepted| {
        accepted.read_head();
        accepted.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        let mut body = vec![0; 32 << 20];
        let whole = accepted.stream.read_exact(&mut body).is_ok();
        let _ = sender.send(whole && body.iter().all(|byte| *byte == b'x'));
        accepted.write("5\r\nhello\r\n0\r\n\r\n");
        accepted.wait_for_end();
    });
    run(async {
        let body = Bytes::from(vec![b'x'; 32 << 20]);
        let response = post(&client(), &peer, body).await.expect("a head");
        let body = response.read_body(100, LONG_MS, |_| {}).await;
        assert_eq!(body, Ok(Bytes::from_static(b"hello")));
        assert_eq!(sent.recv(), Ok(true));
    });
}

#[test]
fn large_bodies_pass_whole_in_both_directions() {
    const BYTES: usize = 5 << 20;
    let peer = Peer::start(|accepted| {
        while let Some((_, body)) = accepted.read_request() {
            accepted.write(&format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                body.len()
            ));
            let _ = accepted.stream.write_all(&body);
        }
    });
    run(async {
        let client = client();
        let body: Bytes = (0..BYTES).map(|at| (at / 7) as u8).collect();
        for _ in 0..2 {
            let response = post(&client, &peer, body.clone()).await.expect("a head");
            let read = response.read_body(BYTES, LONG_MS, |_| {}).await;
            assert!(read == Ok(body.clone()));
        }
        assert_eq!(peer.counts().0, 1);
        let response = post(&client, &peer, body).await.expect("a head");
        let read = response.read_body(BYTES / 2, LONG_MS, |_| {}).await;
        assert_eq!(read, Err(TransportError::TooLarge(BYTES / 2)));
    });
}

#[test]
fn call_that_is_dropped_closes_its_connection_at_once() {
    let (sender, ended) = mpsc::channel();
    let peer = Peer::start(move |accepted| {
        accepted.read_request();
        accepted.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
        accepted.wait_for_end();
        let _ = sender.send(());
    });
    run(async {
        let client = client();
        let mut response = post(&client, &peer, Bytes::new()).await.expect("a head");
        assert!(response.next(LONG_MS).await.is_ok());
        drop(response);
        ended
            .recv_timeout(Duration::from_secs(60))
            .expect("the connection ends");
    });
    let (sender, ended) = mpsc::channel();
    let silent = Peer::start(move |accepted| {
        accepted.read_request();
        accepted.wait_for_end();
        let _ = sender.send(());
    });
    run(async {
        let client = client();
        let waiting = call(&client, &silent);
        let arrived = async {
            while silent.counts().1 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        futures_util::future::select(Box::pin(waiting), Box::pin(arrived)).await;
        ended
            .recv_timeout(Duration::from_secs(60))
            .expect("the connection ends");
    });
}

#[test]
fn wait_for_head_or_data_ends_with_its_timeout() {
    let peer = Peer::start(|accepted| {
        accepted.read_request();
        if accepted.number == 2 {
            accepted.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello");
        }
        accepted.wait_for_end();
    });
    run(async {
        let client = client();
        let late = post_within(&client, &peer, Bytes::new(), 30).await;
        assert_eq!(late.err(), Some(TransportError::HeadTimeout(30)));
        let mut response = post(&client, &peer, Bytes::new()).await.expect("a head");
        assert!(response.next(LONG_MS).await.is_ok());
        let idle = response.next(30).await;
        assert_eq!(idle, Err(TransportError::IdleTimeout(30)));
        // a timeout loses nothing, and a deadline comes before it
        let deadline = Instant::now() + Duration::from_millis(30);
        let idle = response.next_until(LONG_MS, Some(deadline)).await;
        assert_eq!(idle, Err(TransportError::IdleTimeout(LONG_MS)));
        assert!(Instant::now() >= deadline);
    });
}
