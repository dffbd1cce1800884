//! The broker in the simulated world, with the input as its random choices: the checks of `tests/sim` after every step.

use super::world::World;

pub fn check(bytes: &[u8]) {
    let mut world = World::scripted(bytes);
    while world.has_script() {
        world.step();
    }
    world.wind_down();
}
