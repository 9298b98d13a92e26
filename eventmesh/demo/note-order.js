module.exports = {
  main: function (event, context) {
    console.log(event["ce-type"] + " " + event.data.orderId + " from " + event["ce-source"]);
  }
};
