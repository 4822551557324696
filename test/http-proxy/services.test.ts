/** What a service may be told to do with requests besides forwarding them, over the engine `http-proxy`. */
import { overThisEngine } from './support.ts'

await overThisEngine('all-down', 'filters', 'queue', 'routes', '../limits/early-requests', '../proxy-protocol/send')
