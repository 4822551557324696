/** Cuts at every byte, random damage and smuggling, over the engine `http-proxy`. */
import { overThisEngine } from './support.ts'

await overThisEngine('splits', 'mutations', 'smuggling')
