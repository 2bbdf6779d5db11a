//! What a control loop is: look, decide, act. Controllers look and decide; the one shell here acts.
