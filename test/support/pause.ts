/** A moment between two requests of a load that goes on while something else is tested: it is there all the while, and takes no core. */
export const pause = (ms = 5): Promise<void> => new Promise((next) => setTimeout(next, ms))
