/** The table of datapaths: which one serves a virtual service. */
import type { Datapath, ServiceView } from './contract.ts'
import { StreamDatapath, type ThreadTools } from './stream.ts'

/** Builds what serves `view` in this thread; it does not listen yet. */
export async function createDatapath(view: ServiceView, tools: ThreadTools): Promise<Datapath> {
  if (view.http.engine !== 'http-proxy') return new StreamDatapath(view, tools, null)
  const { ProxyEngine } = await import('./http-proxy/engine.ts') // 14 MB and 40 ms that threads without it don't pay for
  return new StreamDatapath(view, tools, (context) => new ProxyEngine(context))
}

export type { BackendView, Datapath, ListenerView, PoolView, ServiceGate, ServiceView } from './contract.ts'
export type { ThreadTools } from './stream.ts'
