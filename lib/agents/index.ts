/** The table of load agents: a row per `load.type`. */
import type { LoadConfig } from '../config/index.ts'
import type { LoadAgent } from './contract.ts'
import { createHttpAgent } from './http.ts'
import { createTcpAgent } from './tcp.ts'

const AGENTS: Readonly<Record<LoadConfig['type'], (load: LoadConfig) => LoadAgent>> = {
  http: createHttpAgent,
  agent: createTcpAgent,
}

export const createAgent = (load: LoadConfig): LoadAgent => AGENTS[load.type](load)

export { AgentFailure, type AgentReport, type LoadAgent } from './contract.ts'
export { parseAgentLine } from './line.ts'
export { type AgentRecord, AgentRunner, type AgentRunnerOptions } from './runner.ts'
