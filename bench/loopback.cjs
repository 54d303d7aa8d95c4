// For `node --require`: servers that name no address listen on loopback, not on every interface of the machine.
const { Server } = require("node:net");

const listen = Server.prototype.listen;
Server.prototype.listen = function (port, host, ...rest) {
  return typeof port === "number" && host == null ? listen.call(this, port, "127.0.0.1", ...rest) : listen.call(this, port, host, ...rest);
};
