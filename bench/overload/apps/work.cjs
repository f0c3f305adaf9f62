// What each application does for a request. The blocking is a wait, not a computation, so that a
// busy machine changes nothing of the capacity.
const cell = new Int32Array(new SharedArrayBuffer(4));

exports.wire = (done) => {
  setTimeout(() => {
    Atomics.wait(cell, 0, 0, 4);
    done();
  }, 5);
};
