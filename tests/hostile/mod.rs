//! A hostile world: clients, vendors and configurations that try to spend or to occupy what they must not.

mod aliases;
mod fixed_prices;
