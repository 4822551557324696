/** Cuts at every byte and random damage, over the engine `http-proxy`. */
import { overThisEngine } from './support.ts'

await overThisEngine('splits', 'mutations')
