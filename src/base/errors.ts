/** The one base class of Holdfast's errors. */

/** A failure with a stable code. The message says what failed, what is the case, and what to do. */
export class HoldfastError extends Error {
  /** `ERR_HOLDFAST_*`; every code has a row in docs/errors.md. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}
