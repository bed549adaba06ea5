//! The embedder's queue and its bounds: a question that would have to wait is compared with none, at once or after a short time.

use std::sync::mpsc;

use futures_util::FutureExt;

use super::*;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime").block_on(work)
}

/// Starts a worker that takes no question until the sender is dropped, and then answers that none fits.
fn stalled_worker(index: &SemanticIndex) -> mpsc::Sender<()> {
    let (stall, stalled) = mpsc::channel::<()>();
    let (jobs, receiver) = sync_channel::<Job>(QUEUE_MAX);
    let thread = std::thread::spawn(move || {
        let _ = stalled.recv();
        for job in receiver {
            let _ = job.reply.send(None);
        }
    });
    *index.worker.lock().expect("unused") = Some(Worker { jobs, thread });
    index.is_restored.store(true, Ordering::Release);
    stall
}

#[test]
fn question_beyond_a_full_queue_is_refused_at_once() {
    let index = Arc::new(SemanticIndex::with_wait(DEBUG_WAIT));
    let stall = stalled_worker(&index);
    block_on(async {
        let mut waiting: Vec<_> = (0..QUEUE_MAX)
            .map(|_| Box::pin(index.embed("a question", |_| ())))
            .collect();
        for question in &mut waiting {
            assert_eq!(question.now_or_never(), None, "it waits in the queue");
        }
        let beyond = index.embed("a question", |_| ()).now_or_never();
        assert_eq!(beyond, Some(Err(NoVector::Busy)), "no waiting");
        drop(stall);
        for question in waiting {
            assert_eq!(question.await, Err(NoVector::Unfit));
        }
    });
    index.close();
}

#[test]
fn question_waits_for_its_vector_no_longer_than_the_bound() {
    assert_eq!(WAIT, Duration::from_millis(250));
    let index = Arc::new(SemanticIndex::with_wait(Duration::from_millis(20)));
    let stall = stalled_worker(&index);
    let within = |question| tokio::time::timeout(Duration::from_secs(10), question);
    let vector = block_on(async { within(index.embed("a question", |_| ())).await });
    assert_eq!(vector, Ok(Err(NoVector::Busy)), "a bound of 20 ms");
    drop(stall);
    index.close();
}

#[cfg(feature = "embedded-embedder")]
#[test]
fn question_beside_the_restoring_of_kept_ones_is_refused_at_once() {
    let index = Arc::new(SemanticIndex::with_wait(DEBUG_WAIT));
    let (stall, stalled) = mpsc::channel::<()>();
    let restore = move |_: &SemanticIndex| {
        let _ = stalled.recv();
    };
    block_on(async {
        let mut first = Box::pin(index.embed("hello", restore));
        assert_eq!((&mut first).now_or_never(), None, "it waits");
        let second = index.embed("hello", |_| ()).now_or_never();
        assert_eq!(second, Some(Err(NoVector::Busy)));
        drop(stall);
        assert!(first.await.is_ok());
        assert!(index.embed("hello", |_| ()).await.is_ok());
    });
    index.close();
}

#[cfg(feature = "embedded-embedder")]
#[test]
fn embedder_is_loaded_by_the_first_question_and_not_before() {
    let index = Arc::new(SemanticIndex::default());
    let vector = Vector::from_bytes(&[1; Vector::BYTES]).expect("a vector");
    index.insert([1; 16], CacheEntryId([2; 16]), &vector);
    assert_eq!(index.nearest(&[1; 16], &vector).len(), 1);
    assert!(index.embedder.get().is_none(), "nothing was embedded");
    let embedded = block_on(index.embed("hello", |_| ()));
    assert!(embedded.is_ok());
    assert!(index.embedder.get().is_some());
    index.close();
}
