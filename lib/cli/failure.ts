/** Why a command can't do what it was asked, and the exit code for that. */

/** 1 failed, 2 wrong usage, 3 the balancer can't be reached, 5 refused. */
export type FailureCode = 1 | 2 | 3 | 5

export class CommandFailure extends Error {
  readonly exit: FailureCode
  constructor(exit: FailureCode, message: string) {
    super(message)
    this.name = 'CommandFailure'
    this.exit = exit
  }
}
