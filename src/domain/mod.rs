//! Domain types: plain values without I/O, serde or async. They depend on no other folder.

pub mod alert;
pub mod allow_list;
pub mod api_error;
pub mod attempt;
pub mod attribution;
pub mod budget;
pub mod clock;
pub mod cost_line;
pub mod egress;
pub mod event;
pub mod id;
pub mod input_bound;
pub mod limit;
pub mod money;
pub mod network;
pub mod pattern;
pub mod refusal;
pub mod role;
pub mod secret;
pub mod server_tool;
pub mod sign_in;
pub mod snapshot;
pub mod tenant;
pub mod time;
pub mod usage;
pub mod zone;
