//! Traces for a collector over OTLP: one span per model request and one per attempt, with the names of the GenAI semantic conventions.
//! Spans hold names, counts and times; must never hold content, a key or an address of a client. Without a collector nothing is made.

mod context;
mod exporter;
mod protobuf;
mod request;
mod span;
mod tracer;

pub use context::TRACEPARENT_HEADER;
pub use exporter::TraceExporter;
pub use request::{AttemptFacts, RequestTrace};
pub use tracer::{TraceCounts, Tracer};
