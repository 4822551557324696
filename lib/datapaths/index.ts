/** The table of datapaths: which one serves a virtual service. */
import type { Datapath } from './contract.ts'
import { StreamDatapath, type ThreadTools } from './stream.ts'

/** What will serve a service in this thread; it has no view yet. */
export const createDatapath = (tools: ThreadTools): Datapath => new StreamDatapath(tools)

export type { BackendView, Datapath, ListenerView, PoolView, ServiceGate, ServiceView } from './contract.ts'
export { Doors, type Sockets } from './doors.ts'
export { Heartbeat } from './heartbeat.ts'
export { turnsOfLoop } from './longest-turn.ts'
export type { ThreadTools } from './stream.ts'
