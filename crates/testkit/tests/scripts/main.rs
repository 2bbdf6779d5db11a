//! Scripts over whole clusters in virtual time. Every decision that they see is one of the real loops.
mod calm;
mod deletion;
mod deployments;
mod endpoints;
mod given;
mod nodes;
mod ownership;
mod pods;
mod restarts;
mod rollouts;
mod trouble;
mod writes;
