/** Backends for trying the balancer out: HTTP with WebSocket, and line-oriented TCP. */
export { type DemoAddresses, type DemoHandle, type DemoOptions, startDemoBackends } from './backends.ts'
export { type DemoWorkerOptions, startDemoWorker } from './launch.ts'
export { type RunDemoOptions, runDemo } from './run.ts'
