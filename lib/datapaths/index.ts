/** The table of datapaths: which one serves a virtual service. */
import type { Datapath, ServiceView } from './contract.ts'
import { StreamDatapath, type ThreadTools } from './stream.ts'

/** Builds what serves `view` in this thread; it does not listen yet. */
export const createDatapath = (view: ServiceView, tools: ThreadTools): Datapath => new StreamDatapath(view, tools)

export type { BackendView, Datapath, ListenerView, PoolView, ServiceGate, ServiceView, TlsView } from './contract.ts'
export type { ThreadTools } from './stream.ts'
