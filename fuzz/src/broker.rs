//! The broker in the simulation's world, where the bytes are the dice: what `tests/sim` checks after every step.

use super::world::World;

pub fn check(bytes: &[u8]) {
    let mut world = World::scripted(bytes);
    while world.has_script() {
        world.step();
    }
    world.wind_down();
}
